import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import type { z } from 'zod';
import { findServices } from '../up/services.ts';

const ROOT = join(import.meta.dirname, '../..');
const text = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');
const compose = parse(text, { merge: true }) as { services: Record<string, Entry>; volumes: Record<string, unknown> };
const services = findServices(join(ROOT, 'services')).map(({ name }) => name);
const entries = Object.entries(compose.services);
const own = entries.filter(([name]) => services.includes(name));

interface Entry {
  image: string;
  build?: { context: string; dockerfile: string; args: Record<string, string> };
  environment?: Record<string, string | number>;
  ports?: string[];
  volumes?: (string | { type: string; source: string; target: string; read_only?: boolean })[];
  [key: string]: unknown;
}

/** The settings that a service reads, by its schema. */
async function settingsOf(service: string): Promise<string[]> {
  const { Config } = (await import(join(ROOT, 'services', service, 'src/config.ts'))) as { Config: z.ZodObject };
  return Object.keys(Config.shape).sort();
}

function usersOf(template: string): string[] {
  return [...template.matchAll(/^user (\S+) on$/gm)].map(([, user]) => user as string);
}

function each<T>(pick: (entry: Entry, name: string) => T, among = entries): Record<string, T> {
  return Object.fromEntries(among.map(([name, entry]) => [name, pick(entry, name)]));
}

describe('docker-compose.yml', () => {
  test('runs each folder that has a start script, from the one Dockerfile', () => {
    expect(each(({ image, build }) => ({ image, build }), own)).toEqual(
      Object.fromEntries(
        services.map((name) => {
          const args = { SERVICE: name, BASE: `\${LOOM_BASE_IMAGE:-node:24-bookworm-slim}` };
          return [name, { image: `loom-${name}`, build: { context: '.', dockerfile: 'deploy/Dockerfile', args } }];
        }),
      ),
    );
  });

  test('publishes on loopback unless told otherwise, and nothing of a service that is scaled', () => {
    const published = entries.flatMap(([name, { ports = [] }]) => ports.map((port) => `${name} ${port}`));

    expect(published).toEqual([
      `redis 127.0.0.1:\${LOOM_REDIS_PORT:-6390}:6379`,
      `gateway 127.0.0.1:\${LOOM_PORT:-8080}:8080`,
      `gateway \${LOOM_ADMIN_HOST:-127.0.0.1}:\${LOOM_ADMIN_PORT:-8081}:8081`,
      `otel-collector 127.0.0.1:\${LOOM_OTLP_PORT:-4318}:4318`,
    ]);
    expect(entries.filter(([, entry]) => 'container_name' in entry || 'network_mode' in entry)).toEqual([]);
  });

  test.each(services)('gives %s every setting that it reads, and none that it does not', async (name) => {
    expect(Object.keys(compose.services[name]?.environment ?? {}).sort()).toEqual(await settingsOf(name));
  });

  test('gives the collector what its configuration asks for, and nothing else', () => {
    const configuration = readFileSync(join(ROOT, 'deploy/otel/collector.yaml'), 'utf8');
    const asked = [...configuration.matchAll(/\$\{env:(\w+)/g)].map(([, name]) => name);
    const given = Object.keys(compose.services['otel-collector']?.environment ?? {});

    expect(given.filter((name) => !asked.includes(name))).toEqual([]);
    expect(asked.filter((name) => !given.includes(name as string))).toEqual(['LOOM_COLLECTOR_STORAGE']);
  });

  test('leaves a setting that .env lacks at its default', () => {
    const interpolated = own.flatMap(([, { environment = {} }]) =>
      Object.entries(environment).filter(([, value]) => String(value).includes('$')),
    );

    expect(interpolated.filter(([name, value]) => value !== `\${${name}:-}`)).toEqual([]);
  });

  test('gives nobody more rights than the work needs', () => {
    const confinement = {
      restart: 'unless-stopped',
      read_only: true,
      tmpfs: ['/tmp'],
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    };

    expect(
      each(({ restart, read_only, tmpfs, cap_drop, security_opt }) => ({
        restart,
        read_only,
        tmpfs,
        cap_drop,
        security_opt,
      })),
    ).toEqual(each((_, name) => (name === 'users' ? { ...confinement, restart: 'no' } : confinement)));
  });

  test('shows each service its own password of Redis, and no other', () => {
    const shown = each(({ volumes = [] }) =>
      volumes.filter((volume) => typeof volume === 'string' && volume.startsWith('users-')),
    );

    expect(shown).toEqual({
      ...each(() => []),
      ...Object.fromEntries(services.map((name) => [name, [`users-${name}:/run/loom:ro`]])),
      users: ['redis', ...usersOf(readFileSync(join(ROOT, 'deploy/redis/users.acl'), 'utf8'))].map(
        (user) => `users-${user}:/users/${user}`,
      ),
      // Its health check asks as the operator.
      redis: ['users-redis:/run/loom/redis:ro', 'users-operator:/run/loom/operator:ro'],
    });
    expect(each(({ environment }) => environment?.['REDIS_USERNAME'], own)).toEqual(each((_, name) => name, own));
  });

  test('shows the transcripts to the watcher alone, and lets it write nothing', () => {
    const readers = entries.filter(([, { volumes }]) => JSON.stringify(volumes ?? []).includes('.claude'));

    expect(readers.map(([name, { volumes }]) => [name, volumes])).toEqual([
      [
        'transcript-watcher',
        [
          {
            type: 'bind',
            source: `\${CLAUDE_DATA_DIR:-~/.claude}`,
            target: '/claude',
            read_only: true,
            bind: { create_host_path: false },
          },
          'users-transcript-watcher:/run/loom:ro',
        ],
      ],
    ]);
  });

  test('mounts only what exists, and writes nowhere but into volumes', () => {
    const mounts = entries.flatMap(([, { volumes = [] }]) => volumes.filter((volume) => typeof volume === 'string'));
    const writable = mounts.filter((mount) => !mount.endsWith(':ro')).map((mount) => mount.split(':')[0]);
    const files = mounts.flatMap((mount) => /(\.\/[^:}]+)/.exec(mount)?.[1] ?? []);

    expect(writable.sort()).toEqual(Object.keys(compose.volumes).sort());
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  test('fits a Raspberry Pi of 4 GB, three watchers and the collector included', () => {
    const megabytes = each(({ mem_limit }) => Number(/^(\d+)m$/.exec(String(mem_limit))?.[1]));
    const total = Object.values(megabytes).reduce((sum, limit) => sum + limit, 0);

    expect(total + 2 * (megabytes['transcript-watcher'] as number)).toBeLessThanOrEqual(3_328);
  });

  test('gives each service longer to drain than it takes', () => {
    expect(each(({ stop_grace_period }) => stop_grace_period, own)).toEqual(
      Object.fromEntries(services.map((name) => [name, name === 'gateway' ? '40s' : '15s'])),
    );
  });

  const hasCompose = spawnSync('docker', ['compose', 'version']).status === 0;
  (hasCompose ? test : test.skip)('is what docker compose reads', () => {
    execFileSync('docker', ['compose', '--profile', 'telemetry', 'config', '--quiet'], { cwd: ROOT });
  });
});
