import { execSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { findServices } from '../up/services.ts';

const ROOT = join(import.meta.dirname, '../..');
const dockerfile = readFileSync(join(ROOT, 'deploy/Dockerfile'), 'utf8');
const readJson = (path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));

describe('the image', () => {
  test.each(findServices(join(ROOT, 'services')))('starts $name as its start script does, as process 1', (service) => {
    const [, make] = /^RUN (node -p .*) > \/loom\/start$/m.exec(dockerfile) ?? [];
    const [, entrypoint] = /^ENTRYPOINT (.*)$/m.exec(dockerfile) ?? [];

    const start = execSync(make as string, { cwd: service.folder, encoding: 'utf8' });
    expect(start).toBe(`exec ${service.command.join(' ')}\n`);
    expect(JSON.parse(entrypoint as string)).toEqual(['sh', '/loom/start']);
  });

  test('gets its packages from a lock file that knows what each manifest asks for', () => {
    const { packages } = readJson('deploy/package-lock.json');
    const manifests = globSync(['package.json', 'shared/package.json', 'services/*/package.json'], { cwd: ROOT });
    const asked = (manifest: Record<string, unknown>) => ({
      dependencies: manifest['dependencies'] ?? {},
      devDependencies: manifest['devDependencies'] ?? {},
    });

    const folders = manifests.sort().map((path) => path.replace(/\/?package\.json$/, ''));
    expect(folders.map((folder) => [folder, asked(packages[folder] ?? {})])).toEqual(
      folders.map((folder) => [folder, asked(readJson(join(folder, 'package.json')))]),
    );
  });

  // Packages of OpenTelemetry name each other's exact versions: a manifest that asks for another one brings a second copy
  // of nearly all of them, for each that asks, into every process that exports.
  test('gets one copy of each package of OpenTelemetry', () => {
    const { packages } = readJson('deploy/package-lock.json');
    const names = Object.keys(packages).flatMap(
      (path) => /node_modules\/(@opentelemetry\/[^/]+)$/.exec(path)?.[1] ?? [],
    );
    const twice = names.filter((name, at) => names.indexOf(name) !== at);

    // The instrumentation of ioredis is released later than the rest, and names the version before.
    expect(twice.filter((name) => name !== '@opentelemetry/instrumentation')).toEqual([]);
  });
});
