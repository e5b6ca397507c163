// tokenizer_peer.mjs NODE_MODULES FILE: Hugging Face's tokenizers at the work of tokenizer_speed.c:
// byte-level BPE of 30,000 tokens (its default), then encoding line by line. Prints seconds, MB/s
// (the best of some turns) and the number of tokens. $RAYON_NUM_THREADS says with how many threads.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {join} from "node:path";

const [modules, file] = process.argv.slice(2);
const {Tokenizer} = createRequire(join(modules, "x.js"))("tokenizers");
const level = {type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true};
const tokenizer = Tokenizer.fromString(JSON.stringify({
    version: "1.0", truncation: null, padding: null, added_tokens: [], normalizer: null,
    pre_tokenizer: level, post_processor: null, decoder: level,
    model: {type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null,
        end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false,
        vocab: {}, merges: []},
}));
const text = readFileSync(file), lines = text.toString().split(/(?<=\n)/);

async function seconds(work) {
    const began = performance.now();
    await work();
    return (performance.now() - began) / 1000;
}

const trained = await seconds(() => tokenizer.train([file]));
let best = Infinity;
for (let i = 0; i < 3; i++)
    best = Math.min(best, await seconds(() => tokenizer.encodeBatch(lines, {addSpecialTokens: false})));
console.log(`${trained.toFixed(3)} ${(text.length / 1e6 / best).toFixed(2)} ${tokenizer.getVocabSize()}`);
