// Makes dist/viewer.js: one classic script, for a page opened from the file system cannot load
// modules.
import { build } from "esbuild";

await build({
  entryPoints: ["src/main.ts"],
  outfile: "dist/viewer.js",
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "thalweg",
  target: "es2022",
  charset: "ascii",
  legalComments: "inline",
  loader: { ".css": "text" },
  banner: {
    js: "/* Thalweg's viewer. Contains three.js, copyright 2010-2026 three.js authors, MIT licence. */",
  },
});
