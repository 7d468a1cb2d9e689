import { describe, expect, test } from '@jest/globals';
import { ScaleError, scaleOut } from '../up/scale.ts';

const folder = (name: string) => ({ folder: `services/${name}`, command: ['node', 'src/main.ts'] });
const services = ['gateway', 'scribe', 'watcher'].map((name) => ({ name, ...folder(name) }));

describe('scaleOut', () => {
  test('runs one of each service', () => {
    expect(scaleOut(services, [])).toEqual(services.map((service) => ({ ...service, service: service.name })));
  });

  test('numbers the replicas of a service that is to run more than once', () => {
    expect(scaleOut(services, ['watcher=2', 'scribe=0'])).toEqual([
      { name: 'gateway', service: 'gateway', ...folder('gateway') },
      { name: 'watcher-1', service: 'watcher', ...folder('watcher') },
      { name: 'watcher-2', service: 'watcher', ...folder('watcher') },
    ]);
  });

  test.each([
    ['watcher', 'expected --scale <service>=<count>, got watcher'],
    ['watcher=', 'expected --scale <service>=<count>, got watcher='],
    ['watcher=many', 'expected --scale <service>=<count>, got watcher=many'],
    ['watcher=-1', 'expected --scale <service>=<count>, got watcher=-1'],
    ['intro=2', 'there is no service intro to scale'],
    ['gateway=2', 'one gateway runs here: it has one port'],
  ])('refuses %s', (word, message) => {
    expect(() => scaleOut(services, [word])).toThrow(new ScaleError(message));
  });
});
