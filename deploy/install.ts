import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { Installation } from './systemd/installation.ts';
import { type Place, runAt, say } from './systemd/place.ts';
import { findServices } from './up/services.ts';

const HELP = `Installs Loom as systemd services, for a machine without Docker, and starts them.

usage: sudo make install      (or: node deploy/install.ts [--prefix <folder>] [--destdir <folder>])

  PREFIX           programs go to PREFIX/lib/loom, loom to PREFIX/bin         /usr/local
  DESTDIR          install below this folder; nothing is started              unset
  CLAUDE_DATA_DIR  the transcripts that the watcher may read, as their owner  ~/.claude of who asks

Settings are in /etc/loom/loom.env; one that was changed is kept. sudo make uninstall undoes it.
`;

const ROOT = join(import.meta.dirname, '..');
const UNITS = join(import.meta.dirname, 'systemd');
const UNIT_HOME = '/usr/local/lib/loom';
/** As in the image: what only tests and editors read. */
const NOT_RUN = /^(node_modules|test|testing)$|\.map$|\.d\.[cm]?ts$/;

runAt(HELP, (place) => {
  const { destdir, home, bin, units, settings } = place;
  const installation = new Installation(join(destdir, home), say);
  copyPrograms(installation, join(destdir, home));
  say(`copied Loom, its packages and Node ${process.version} to ${join(destdir, home)}`);
  writeUnits(installation, join(destdir, units), place);
  const command = join(destdir, bin, 'loom');
  installation.write(command, placed(readFileSync(join(UNITS, 'loom'), 'utf8'), place), 0o755);
  say(`wrote ${command}`);
  const environment = readFileSync(join(UNITS, 'loom.env'), 'utf8');
  installation.writeSettings(join(destdir, settings, 'loom.env'), environment, 0o600);
  installation.save();
  if (destdir === '') start(place);
});

function copyPrograms(installation: Installation, home: string): void {
  const files = ['package.json', 'README.md', 'deploy/healthcheck.ts', 'deploy/systemd/loom-health'];
  // `loom doctor` asks it which services there should be.
  files.push('deploy/up/services.ts');
  for (const name of files) installation.copy(join(ROOT, name), join(home, name));
  for (const name of ['shared', 'services', 'deploy/prompts', 'deploy/redis'])
    installation.copyFolder(join(ROOT, name), join(home, name), NOT_RUN);
  for (const { path, link } of productionPackages()) {
    if (link) installation.link(join(home, path), join('../..', link));
    else installation.copyFolder(join(ROOT, path), join(home, path), NOT_RUN);
  }
  installation.copy(process.execPath, join(home, 'bin/node'));
}

/** What npm has installed, less what only development needs: from npm's own list, so that nothing is fetched again. */
function productionPackages(): { path: string; link: string | undefined }[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean; link?: boolean; resolved?: string }>;
  };
  return Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path.includes('node_modules/') && !dev && !devOptional)
    .map(([path, { link, resolved }]) => ({ path, link: link ? resolved : undefined }));
}

/** The text of a file that names the place of the programs. */
function placed(text: string, { home }: Place): string {
  return text.replaceAll(UNIT_HOME, home);
}

function writeUnits(installation: Installation, to: string, place: Place): void {
  const { folder, user } = transcripts();
  for (const name of globSync(['*.{service,target,timer}', '*.d/*.conf'], { cwd: UNITS }).sort()) {
    const text = placed(readFileSync(join(UNITS, name), 'utf8'), place)
      .replaceAll('@CLAUDE_DATA_DIR@', folder)
      .replaceAll('@CLAUDE_USER@', user);
    installation.write(join(to, name), text);
    say(`wrote ${join(to, name)}`);
  }
  for (const { name } of findServices(join(ROOT, 'services'))) {
    installation.link(join(to, 'loom.target.wants', `loom@${name}.service`), '../loom@.service');
    say(`loom.target starts loom@${name}`);
  }
}

/** The transcripts' folder and its owner; as long as there is no folder, whoever asks for the installation. */
function transcripts(): { folder: string; user: string } {
  const asking = process.env['SUDO_USER'] || userInfo().username;
  const home = output('getent', 'passwd', asking).split(':')[5] as string;
  const folder = process.env['CLAUDE_DATA_DIR'] || join(home, '.claude');
  return { folder, user: existsSync(folder) ? output('id', '-nu', String(statSync(folder).uid)) : asking };
}

function start({ state }: Place): void {
  if (spawnSync('id', ['loom']).status !== 0) {
    output('useradd', '--system', '--no-create-home', '--home-dir', state, '--shell', '/usr/sbin/nologin', 'loom');
    say('made the user loom');
  }
  for (const words of [['daemon-reload'], ['enable', 'loom.target'], ['restart', 'loom.target']]) {
    output('systemctl', ...words);
    say(`systemctl ${words.join(' ')}`);
  }
}

/** Runs a program; what it says on stderr is shown, and an exit code but 0 ends the installation. */
function output(command: string, ...words: string[]): string {
  return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}
