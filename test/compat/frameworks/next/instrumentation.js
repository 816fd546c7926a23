/** Next.js calls this once, before anything else: with our processor, or with flags of Node.js alone. */
export async function register() {
  if (process.env.NEXT_RUNTIME !== 'nodejs') return;
  const { registerOTel } = await import('@vercel/otel');
  if (process.env.WAY === 'flags') {
    registerOTel({ serviceName: 'next-app' });
    return;
  }
  const { PyroscopeSpanProcessor, startPyroscope } = await import('otelpyroscope');
  registerOTel({ serviceName: 'next-app', spanProcessors: ['auto', new PyroscopeSpanProcessor()] });
  startPyroscope({ applicationName: 'next-app' });
}
