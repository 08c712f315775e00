// Builds the files of ../static/vendor, or of the folder that is given. The same sources give the same bytes.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.resolve(process.argv[2] ?? path.join(here, "../static/vendor"));
const modules = path.join(here, "node_modules");
await mkdir(target, { recursive: true });

const bundle = await build({
  absWorkingDir: here, entryPoints: ["editor.js"], bundle: true, minify: true, format: "iife", target: "es2022",
  charset: "utf8", legalComments: "none", metafile: true, write: false,
});
const files = { "editor.js": bundle.outputFiles[0].text };
files["htmx.js"] = await readFile(path.join(modules, "htmx.org/dist/htmx.min.js"), "utf8");
const events = await readFile(path.join(modules, "htmx-ext-sse/sse.js"), "utf8");
files["htmx-sse.js"] = (await transform(events, { minify: true, target: "es2022", legalComments: "none" })).code;

const packages = new Set(["htmx.org", "htmx-ext-sse"]);
for (const input of Object.keys(bundle.metafile.inputs)) {
  const found = input.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
  if (found) packages.add(found[1]);
}
const licences = [];
for (const name of [...packages].sort()) {
  const { version, license } = JSON.parse(await readFile(path.join(modules, name, "package.json"), "utf8"));
  const file = (await readdir(path.join(modules, name))).find((one) => /^licen[cs]e/i.test(one));
  const text = file ? await readFile(path.join(modules, name, file), "utf8") : "";
  const kind = license ?? (text.startsWith("BSD Zero Clause License") ? "0BSD" : "unknown");
  licences.push(`${name} ${version} (${kind})\n\n${text.trim()}\n`);
}
files["LICENSES.txt"] = licences.join(`\n${"-".repeat(80)}\n\n`);

const sums = [];
for (const [name, text] of Object.entries(files).sort()) {
  await writeFile(path.join(target, name), text);
  sums.push(`${createHash("sha256").update(text).digest("hex")}  ${name}\n`);
}
await writeFile(path.join(target, "SHA256SUMS"), sums.join(""));
