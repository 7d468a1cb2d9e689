import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Installation } from './systemd/installation.ts';
import { runAt, say } from './systemd/place.ts';

const HELP = `Ends the systemd services of Loom and takes away whatever make install has put on this machine.

usage: sudo make uninstall      (or: node deploy/uninstall.ts [--prefix <folder>] [--destdir <folder>] [--purge])

  PREFIX, DESTDIR  as they were given to make install
  PURGE=1          also settings that were changed, what Redis holds, and the user loom
`;

runAt(HELP, ({ destdir, home, settings, state }, { purge }) => {
  const at = (path: string) => join(destdir, path);
  const installation = new Installation(at(home), say);
  if (installation.exists) {
    if (destdir === '') {
      run('systemctl', 'disable', '--now', 'loom.target');
      run('systemctl', 'stop', 'loom@*.service', 'loom-health.timer', 'loom-redis.service');
    }
    installation.remove();
    say(`removed ${at(home)} and the units of Loom`);
    if (destdir === '') run('systemctl', 'daemon-reload');
  } else {
    say(`Loom is not installed in ${at(home)}`);
  }
  const kept = [settings, state].map(at).filter((path) => existsSync(path));
  for (const path of kept) {
    if (purge) rmSync(path, { recursive: true });
    say(purge ? `removed ${path}` : `kept ${path}; make uninstall PURGE=1 takes it away as well`);
  }
  if (purge && destdir === '') run('userdel', 'loom');
});

/** What fails is shown, and does not keep the rest from being taken away. */
function run(command: string, ...words: string[]): void {
  spawnSync(command, words, { stdio: 'inherit' });
  say([command, ...words].join(' '));
}
