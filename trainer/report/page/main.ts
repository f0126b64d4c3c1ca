/** Where the page's script begins: the content in the page, and the chart library, of which it takes what it draws. */
import { LineChart } from 'echarts/charts';
import { GridComponent, TooltipComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { PageContent } from '../page-content.ts';
import { byId } from './elements.ts';
import { showPage } from './page.ts';

use([LineChart, GridComponent, TooltipComponent, SVGRenderer]);

showPage(JSON.parse(byId('data').textContent ?? '') as PageContent, (container) => {
  const chart = init(container, null, { renderer: 'svg' });
  return {
    // What was drawn before is forgotten.
    draw: (option) => chart.setOption(option, true),
    resize: () => chart.resize(),
  };
});
