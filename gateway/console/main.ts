/** Where the console's script begins. */
import { chartIn } from '../../schema/page/chart.ts';
import { showConsole } from './console.ts';
import { tabSession } from './session.ts';

showConsole(tabSession(sessionStorage), chartIn);
