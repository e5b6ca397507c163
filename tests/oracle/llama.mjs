// llama.mjs NODE_MODULES MODEL.gguf OURS.json LINES: llama.cpp reads what was exported and must
// give the same ids, the same greedy continuations and the same perplexity (to 1e-3).
import {readFileSync} from "node:fs";
import {pathToFileURL} from "node:url";
import {join} from "node:path";

const [modules, file, ours, lines] = process.argv.slice(2);
const {getLlama} = await import(pathToFileURL(join(modules, "node-llama-cpp/dist/index.js")));
const texts = readFileSync(lines, "utf8").replace(/\n$/, "").split("\n");
const expected = JSON.parse(readFileSync(ours, "utf8"));
const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: file});
const context = await model.createContext({contextSize: model.trainContextSize, threads: 1});
const sequence = context.getSequence();
const wrong = [];
let nats = 0, ourNats = 0, tokens = 0, same = 0;

for (const [i, want] of expected.entries()) {
    const ids = model.tokenize(texts[i], false);
    if (JSON.stringify(ids) !== JSON.stringify(want.ids.slice(1)))
        wrong.push(`line ${i + 1}: ids ${ids} are not ${want.ids.slice(1)}`);

    await sequence.clearHistory();
    const greedy = [];
    for await (const token of sequence.evaluate(want.ids, {temperature: 0, yieldEogToken: true})) {
        greedy.push(token);
        if (greedy.length === want.greedy.length)
            break;
    }
    if (JSON.stringify(greedy) === JSON.stringify(want.greedy))
        same++;
    else
        wrong.push(`line ${i + 1}: greedy ${greedy} is not ${want.greedy}`);

    await sequence.clearHistory();
    const asked = want.ids.map((id) => [id, {generateNext: {probabilities: true}}]);
    const next = await sequence.controlledEvaluate(asked);
    for (let k = 0; k + 1 < want.ids.length; k++) {
        nats -= Math.log(next[k].next.probabilities.get(want.ids[k + 1]));
        ourNats -= want.log_probs[k];
        tokens++;
    }
}
const perplexity = Math.exp(nats / tokens), ourPerplexity = Math.exp(ourNats / tokens);
if (!(Math.abs(perplexity / ourPerplexity - 1) < 1e-3))
    wrong.push(`perplexity ${perplexity} is not ${ourPerplexity}`);
console.log(`${file}: ${same} of ${expected.length} greedy continuations equal, perplexity ` +
    `${perplexity.toFixed(5)} (ours ${ourPerplexity.toFixed(5)}) over ${tokens} tokens`);
for (const line of wrong)
    console.log(`  ${line}`);
process.exit(wrong.length ? 1 : 0);
