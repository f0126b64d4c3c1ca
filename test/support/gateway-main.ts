/** The gateway as a process of its own, so that a test can kill it: node gateway-main.ts DATA_DIR; prints its address. */
import { startLocalGateway } from '../../scripts/local/local-gateway.ts';
import { secrets } from './gateway.ts';

const [dataDir] = process.argv.slice(2);
if (dataDir === undefined) throw new Error('Say where its data is.');
const gateway = await startLocalGateway({ port: 0, nodes: [], ...secrets, dataDir });
process.stdout.write(`${gateway.url}\n`);
