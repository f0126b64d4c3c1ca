/** The program: sets the process up, then reads the command line. */
import { startAnewWithAllocatorSettings } from './allocator.ts';
import { setUpEngine } from './engine-settings.ts';

startAnewWithAllocatorSettings();
setUpEngine();
await import('./command-line.ts');
