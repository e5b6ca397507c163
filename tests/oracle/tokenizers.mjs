// tokenizers.mjs NODE_MODULES TOKENIZER.json IDS LINES: Hugging Face's own library reads the file
// and must give our ids, line by line, and the lines back.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {join} from "node:path";

const [modules, file, ids, lines] = process.argv.slice(2);
const {Tokenizer} = createRequire(join(modules, "x.js"))("tokenizers");
const tokenizer = Tokenizer.fromFile(file);
const texts = readFileSync(lines, "utf8").replace(/\n$/, "").split("\n");
const ours = readFileSync(ids, "utf8").trim().split("\n");
const wrong = [];

for (let i = 0; i < texts.length; i++) {
    const theirs = (await tokenizer.encode(texts[i], null, {addSpecialTokens: false})).getIds();
    if (JSON.stringify(theirs) !== ours[i])
        wrong.push(`line ${i + 1} ${JSON.stringify(texts[i])}: ours ${ours[i]}, theirs [${theirs}]`);
}
console.log(`${file}: ${texts.length - wrong.length} of ${texts.length} lines have equal ids`);
for (const line of wrong.slice(0, 10))
    console.log(`  ${line}`);
process.exit(wrong.length ? 1 : 0);
