// Looks at the front page of a running server: is its HTML valid, can everybody use it, does it fit, is nothing refused by its
// own policy? And takes its picture.
//
//   node check.mjs http://127.0.0.1:5000 [--picture docs/front-page.png] [--screens DIRECTORY]
//
// Needs a Chromium on the path, or named by CHROMIUM. Exits with 1 when something is wrong.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { parseArgs } from "node:util";

import { HtmlValidate } from "html-validate";
import { chromium } from "playwright-core";

const WIDTHS = [390, 768, 1440];
const THEMES = ["light", "dark"];
const PICTURE = { width: 1240, height: 800 };
const TARGET_PIXELS_MIN = 24;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { picture: { type: "string" }, screens: { type: "string" } },
});
const origin = positionals[0] ?? "http://127.0.0.1:5000";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const faults = [];

await validate();
const browser = await chromium.launch({ executablePath: chromiumPath(), args: ["--no-sandbox"] });
try {
  for (const theme of THEMES) {
    for (const width of WIDTHS) {
      await look(theme, width);
    }
  }
  if (values.picture) {
    await takePicture(values.picture);
  }
} finally {
  await browser.close();
}
for (const fault of faults) {
  console.error(fault);
}
console.log(faults.length === 0 ? "The front page is fine." : `${faults.length} faults.`);
process.exitCode = faults.length === 0 ? 0 : 1;

async function validate() {
  const response = await fetch(`${origin}/`);
  const html = await response.text();
  const report = await new HtmlValidate({
    extends: ["html-validate:standard"],
    rules: { "doctype-style": "off", "no-trailing-whitespace": "off", "void-style": "off" },
  }).validateString(html);
  for (const { line, column, ruleId, message } of report.results.flatMap((result) => result.messages)) {
    faults.push(`HTML ${line}:${column} ${ruleId}: ${message}`);
  }
}

async function look(theme, width) {
  const where = `${theme}, ${width} px`;
  const { context, page } = await open(theme, { width, height: 900 });
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
    await page.screenshot({ path: path.join(values.screens, `${theme}-${width}.png`), fullPage: true });
  }
  await context.close();
}

async function takePicture(file) {
  const { context, page } = await open("light", PICTURE);
  await page.screenshot({ path: file, fullPage: true });
  await context.close();
}

async function open(theme, viewport) {
  const context = await browser.newContext({ colorScheme: theme, viewport });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      faults.push(`${theme}, ${viewport.width} px: the browser says: ${message.text()}`);
    }
  });
  page.on("requestfailed", (request) => faults.push(`${request.url()} could not be fetched`));
  await page.goto(`${origin}/`, { waitUntil: "networkidle" });
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
