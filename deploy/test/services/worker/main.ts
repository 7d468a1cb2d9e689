const { OTEL_SERVICE_NAME, REDIS_URL, LOOM_LOG_FORMAT } = process.env;

process.stdout.write(`${OTEL_SERVICE_NAME} uses ${REDIS_URL} and logs ${LOOM_LOG_FORMAT}\n`);

// Only SIGTERM ends it.
const alive = setInterval(() => {}, 60_000);
process.once('SIGTERM', () => {
  process.stdout.write('worker drained\n');
  clearInterval(alive);
});
