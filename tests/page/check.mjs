// Looks at the pages of a running server: is their HTML valid, can everybody use them, do they fit, is nothing refused by their
// own policy? With --lines also: do the lines of curl work? And takes the picture of the front page.
//
//   node check.mjs http://127.0.0.1:5000 [--lines] [--picture docs/front-page.png] [--screens DIRECTORY]
//
// Needs a Chromium on the path, or named by CHROMIUM. Exits with 1 when something is wrong.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { HtmlValidate } from "html-validate";
import { chromium } from "playwright-core";

const WIDTHS = [390, 768, 1440];
const THEMES = ["light", "dark"];
const PAGES = ["/", "/docs"];
const PICTURE = { width: 1240, height: 800 };
const TARGET_PIXELS_MIN = 24;
const LINES_MIN = 25;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { lines: { type: "boolean" }, picture: { type: "string" }, screens: { type: "string" } },
});
const origin = positionals[0] ?? "http://127.0.0.1:5000";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const faults = [];

for (const name of PAGES) {
  await validate(name);
}
const browser = await chromium.launch({ executablePath: chromiumPath(), args: ["--no-sandbox"] });
try {
  for (const theme of THEMES) {
    for (const width of WIDTHS) {
      for (const name of PAGES) {
        await look(name, theme, width);
      }
    }
  }
  if (values.picture) {
    await takePicture(values.picture);
  }
} finally {
  await browser.close();
}
if (values.lines) {
  await runLines();
}
for (const fault of faults) {
  console.error(fault);
}
console.log(faults.length === 0 ? "The pages are fine." : `${faults.length} faults.`);
process.exitCode = faults.length === 0 ? 0 : 1;

async function validate(name) {
  const response = await fetch(`${origin}${name}`);
  const html = await response.text();
  const report = await new HtmlValidate({
    extends: ["html-validate:standard"],
    rules: { "doctype-style": "off", "no-trailing-whitespace": "off", "void-style": "off" },
  }).validateString(html);
  for (const { line, column, ruleId, message } of report.results.flatMap((result) => result.messages)) {
    faults.push(`${name}: HTML ${line}:${column} ${ruleId}: ${message}`);
  }
}

// As somebody does who tries the operations one after the other, and removes things last.
async function runLines() {
  const html = await (await fetch(`${origin}/docs`)).text();
  const blocks = [...html.matchAll(/<pre><code>([^<]*)<\/code><\/pre>/g)].map(([, text]) => unescaped(text));
  const lines = blocks.filter((text) => text.includes(`${origin}/`) && text.includes("curl"));
  if (lines.length < LINES_MIN) {
    faults.push(`only ${lines.length} blocks of curl in /docs`);
  }
  const home = mkdtempSync(path.join(tmpdir(), "page-"));
  writeFileSync(path.join(home, ".curlrc"), "fail\nsilent\nshow-error\nmax-time = 20\n");
  const removes = (text) => Number(text.includes("-X DELETE"));
  lines.sort((one, other) => removes(one) - removes(other));
  for (const text of lines) {
    const env = { ...process.env, CURL_HOME: home };
    const stdio = ["ignore", "ignore", "pipe"];
    const { status, stderr } = spawnSync("sh", ["-ec", text], { env, stdio, encoding: "utf8" });
    if (status !== 0) {
      faults.push(`/docs: ${stderr.trim()}:\n${text}`);
    }
  }
  rmSync(home, { recursive: true });
}

function unescaped(html) {
  const characters = { lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" };
  return html.replace(/&(lt|gt|quot|#39|amp);/g, (_, name) => characters[name]);
}

async function look(name, theme, width) {
  const where = `${name}, ${theme}, ${width} px`;
  const { context, page } = await open(name, theme, { width, height: 900 });
  const sideways = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  if (sideways > 0) {
    faults.push(`${where}: the page goes ${sideways} px sideways`);
  }
  const small = await page.$$eval("nav a, .brand", (links, least) =>
    links.filter((link) => link.getBoundingClientRect().height < least).map((link) => link.textContent),
    TARGET_PIXELS_MIN,
  );
  if (small.length > 0) {
    faults.push(`${where}: too small to touch: ${small.join(", ")}`);
  }
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  for (const { id, help, nodes } of violations) {
    faults.push(`${where}: ${id}: ${help}: ${nodes.map((node) => node.html).join(" ")}`);
  }
  if (values.screens) {
    await page.screenshot({ path: path.join(values.screens, `${name.slice(1) || "front"}-${theme}-${width}.png`), fullPage: true });
  }
  await context.close();
}

async function takePicture(file) {
  const { context, page } = await open("/", "light", PICTURE);
  await page.screenshot({ path: file, fullPage: true });
  await context.close();
}

async function open(name, theme, viewport) {
  const context = await browser.newContext({ colorScheme: theme, viewport });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      faults.push(`${name}, ${theme}, ${viewport.width} px: the browser says: ${message.text()}`);
    }
  });
  page.on("requestfailed", (request) => faults.push(`${request.url()} could not be fetched`));
  await page.goto(`${origin}${name}`, { waitUntil: "networkidle" });
  return { context, page };
}

function chromiumPath() {
  if (process.env.CHROMIUM) {
    return process.env.CHROMIUM;
  }
  return execFileSync("sh", ["-c", "command -v chromium || command -v chromium-browser || command -v google-chrome"], {
    encoding: "utf8",
  }).trim();
}
