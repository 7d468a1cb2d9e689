import { describe, expect, test } from '@jest/globals';
import { quotaOf } from '../../src/core/quota.ts';

const time = '2026-11-22T09:00:00.123Z';
const prefix = 'anthropic-ratelimit-unified-';

describe('quotaOf', () => {
  test('writes the record as Loom’s first version did', () => {
    const quota = quotaOf(time, 'req_1', {
      [`${prefix}5h-utilization`]: '0.42',
      [`${prefix}5h-reset`]: '1795345200',
      [`${prefix}status`]: 'allowed',
      [`${prefix}7d-status`]: 'allowed',
    });

    expect(quota).toEqual({
      key: 'quota:2026-11-22T09:00:00.123000+00:00',
      value:
        '{"timestamp":"2026-11-22T09:00:00.123000+00:00","request_id":"req_1",' +
        '"anthropic-ratelimit-unified-5h-utilization":"0.42","anthropic-ratelimit-unified-5h-reset":"1795345200",' +
        '"anthropic-ratelimit-unified-5h-status":"","anthropic-ratelimit-unified-7d-utilization":"",' +
        '"anthropic-ratelimit-unified-7d-reset":"","anthropic-ratelimit-unified-7d-status":"allowed",' +
        '"anthropic-ratelimit-unified-fallback":"","anthropic-ratelimit-unified-fallback-percentage":"",' +
        '"anthropic-ratelimit-unified-overage-status":""}',
    });
  });

  test('writes one for the week’s utilisation alone, and without a request id', () => {
    const quota = quotaOf(time, null, { [`${prefix}7d-utilization`]: '0.9' });

    expect(JSON.parse(quota?.value ?? '')).toMatchObject({ request_id: '', [`${prefix}7d-utilization`]: '0.9' });
  });

  test('writes none where no utilisation is named', () => {
    expect(quotaOf(time, 'req_1')).toBeUndefined();
    expect(
      quotaOf(time, 'req_1', { [`${prefix}5h-utilization`]: '', [`${prefix}5h-status`]: 'allowed' }),
    ).toBeUndefined();
  });
});
