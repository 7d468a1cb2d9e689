import { userInfo } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/** Where Loom is installed: the paths as the units name them, below `destdir`. */
export interface Place {
  /** Empty on the machine that Loom is to run on; there systemd and users are touched as well. */
  destdir: string;
  /** Programs and packages. */
  home: string;
  /** The `loom` command. */
  bin: string;
  units: string;
  settings: string;
  /** What the services keep. */
  state: string;
}

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  destdir: { type: 'string', default: '' },
  prefix: { type: 'string', default: '/usr/local' },
  purge: { type: 'boolean', default: false },
} as const;

/** Reads the command line, and runs what it asks for; without root that is only possible below a `destdir`. */
export function runAt(help: string, run: (place: Place, options: { purge: boolean }) => void): void {
  const { destdir, prefix, purge, ...values } = parseArgs({ options: OPTIONS }).values;
  if (values.help) {
    process.stdout.write(help);
    return;
  }
  if (destdir === '' && userInfo().uid !== 0) {
    process.stderr.write('/usr and /etc belong to root: put sudo before make, or set DESTDIR\n');
    process.exitCode = 1;
    return;
  }
  const home = join(prefix, 'lib/loom');
  const bin = join(prefix, 'bin');
  run({ destdir, home, bin, units: '/etc/systemd/system', settings: '/etc/loom', state: '/var/lib/loom' }, { purge });
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
