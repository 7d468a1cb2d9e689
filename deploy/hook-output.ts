import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const HOOK = join(import.meta.dirname, '../services/prompt-hook/src/prompt-hook.mjs');

/** What the client's hook prints for a prompt of a session under the profile `alpha`: the metadata block. */
export function hookOutput(input: { prompt: string; session_id: string; prompt_id?: string | undefined }): string {
  // The demonstrator's own settings must not send spans elsewhere.
  const environment = {
    ...process.env,
    LOOM_PROFILE: 'alpha',
    LOOM_HOOK_OTLP_ENDPOINT: '',
    OTEL_EXPORTER_OTLP_ENDPOINT: '',
  };
  const event = JSON.stringify({ hook_event_name: 'UserPromptSubmit', cwd: '/home/user', ...input });
  const { stdout } = spawnSync(process.execPath, [HOOK], { input: event, env: environment });
  return JSON.parse(stdout.toString()).hookSpecificOutput.additionalContext;
}
