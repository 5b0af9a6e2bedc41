#!/usr/bin/env node
// The `luster` command. Node flags before this script (`node --max-http-header-size=16384 luster.js`) are the workers'.

require('../lib/command/launch').launch(process.argv.slice(2));
