/** The program: sets the process up, then reads the command line. */
import { startAnewWithAllocatorSettings } from './allocator.ts';

startAnewWithAllocatorSettings();
await import('./command-line.ts');
