// What is committed is what the sources make, and it is small.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { root, tutti } from "./harness.mjs";

const MOST = 150 * 1024;

const fresh = (work) => {
  const folder = mkdtempSync(join(tmpdir(), "tutti-bundle-"));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

test("the types are those of the API", () => fresh((folder) => {
  const [description, types] = [join(folder, "api.json"), join(folder, "api.gen.ts")];
  writeFileSync(description, execFileSync(tutti, ["api"]));
  execFileSync("node", ["scripts/types.mjs", description, types], { cwd: root });
  assert.equal(readFileSync(types, "utf8"), readFileSync(join(root, "src/api.gen.ts"), "utf8"), "run: npm run types");
}));

test("the sources have no type errors", () => {
  execFileSync("node", ["node_modules/typescript/bin/tsc", "--noEmit"], { cwd: root, stdio: "inherit" });
});

test("the committed bundle is the one that the sources make", () => fresh((folder) => {
  execFileSync("node", ["scripts/build.mjs", folder], { cwd: root });
  assert.deepEqual(readdirSync(folder).sort(), readdirSync(join(root, "dist")).sort());
  for (const name of readdirSync(folder))
    assert.ok(readFileSync(join(folder, name)).equals(readFileSync(join(root, "dist", name))), `${name} differs; run: npm run build`);
}));

test("it is small", () => {
  const sizes = readdirSync(join(root, "dist")).map((name) => gzipSync(readFileSync(join(root, "dist", name)), { level: 9 }).length);
  const size = sizes.reduce((a, b) => a + b);
  console.log(`${(size / 1024).toFixed(1)} KiB compressed`);
  assert.ok(size < MOST);
});

test("it needs nothing from elsewhere", () => {
  for (const name of readdirSync(join(root, "dist"))) {
    const text = readFileSync(join(root, "dist", name), "utf8").replaceAll(/http:\/\/www\.w3\.org\/[\w/]+/g, "");
    assert.ok(!/https?:\/\/[a-z0-9]/.test(text), name);
  }
});
