/** Answers that their clients do not take: what waits to be sent stays in memory, so it does not wait for ever. */
import type { ServerResponse } from 'node:http';

/**
 * To be called when an answer has been handed over: a client that takes nothing of it for `ms` loses its connection.
 * @param onGivenUp called once when that happens
 */
export function giveUpUnread(response: ServerResponse, ms: number, onGivenUp: () => void): void {
  const { socket } = response;
  // Nearly every answer fits what the system takes at once. One without its socket waits for those that were asked for before.
  if (response.destroyed || (socket !== null && socket.writableLength === 0)) return;
  response.setTimeout(ms, () => {
    response.destroy();
    onGivenUp();
  });
  // Before the server sets the time for which a connection may be idle.
  response.prependOnceListener('finish', () => response.socket?.setTimeout(0));
}
