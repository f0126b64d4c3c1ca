/** The operator's token, kept in this tab until it is closed. */

const NAME = 'operator-token';

export interface Session {
  token(): string | null;
  begin(token: string): void;
  end(): void;
}

export function tabSession(storage: Storage): Session {
  return {
    token: () => storage.getItem(NAME),
    begin: (token) => storage.setItem(NAME, token),
    end: () => storage.removeItem(NAME),
  };
}
