import { serve } from './serve.ts';

await serve({ insecure: process.argv.includes('--insecure') });
