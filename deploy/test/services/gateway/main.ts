import { createServer } from 'node:http';

// Ready at once; on SIGTERM it says where it stands, so that a test can read the order of the end.
const admin = createServer((_, response) => response.end('ready'));
admin.listen(Number(process.env['LOOM_ADMIN_PORT']), '127.0.0.1');
const client = createServer((_, response) => response.end('hello'));
client.listen(Number(process.env['LOOM_PORT']), process.env['LOOM_HOST']);

process.once('SIGTERM', () => {
  process.stdout.write('gateway drained\n');
  for (const server of [admin, client]) {
    server.close();
    server.closeAllConnections();
  }
});
