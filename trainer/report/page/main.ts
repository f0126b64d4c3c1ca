/** Where the page's script begins: with the content in the page. */
import { chartIn } from '../../../schema/page/chart.ts';
import { byId } from '../../../schema/page/elements.ts';
import type { PageContent } from '../page-content.ts';
import { showPage } from './page.ts';

showPage(JSON.parse(byId('data').textContent ?? '') as PageContent, chartIn);
