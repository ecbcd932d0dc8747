// Writes the types of the control API from its OpenAPI description, a file that `tutti api` wrote:
//   tutti api > api.json; npm run types api.json
import { readFileSync, writeFileSync } from "node:fs";
import openapi, { astToString } from "openapi-typescript";

const description = JSON.parse(readFileSync(process.argv[2], "utf8"));
const head = "// Made by `npm run types` from the description of the control API. Not to be edited.\n\n";
const place = process.argv[3] ?? new URL("../src/api.gen.ts", import.meta.url);
writeFileSync(place, head + astToString(await openapi(description)));
