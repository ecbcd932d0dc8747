// Runs all tests, or those whose files are named, one after the other.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";
import { tap } from "node:test/reporters";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const named = process.argv.slice(2);
const files = readdirSync(folder).filter((name) => name.endsWith(".test.mjs") && (named.length === 0 || named.includes(name.replace(".test.mjs", ""))));
const tests = run({ files: files.map((name) => join(folder, name)), concurrency: 1, timeout: 300_000 });
tests.on("test:fail", () => (process.exitCode = 1));
tests.compose(tap).pipe(process.stdout);
