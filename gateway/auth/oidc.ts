/** Operators by an OpenID Connect provider: its signed tokens, held against its published keys. jose does the cryptography. */
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose';
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import { type OperatorRole, operatorRoles } from '../../schema/operator-role.ts';
import type { Identity } from './identity.ts';
import { trustedUrl } from './trusted-url.ts';

export interface OidcSettings {
  /** As the `iss` of its tokens says it. */
  readonly issuer: string;
  /** What its tokens must be made out for. */
  readonly audience: string;
  /** The claim that says what a person may do; dots reach into objects, a list may hold several. */
  readonly roleClaim: string;
  /** The claim's values by the role that they give. */
  readonly roles: Readonly<Partial<Record<OperatorRole, string>>>;
}

/** @returns undefined for a token that proves nothing here */
export type OidcVerifier = (token: string, nowMs: number) => Promise<Identity | undefined>;

/** No `none`, and no shared secrets: whoever could check such a token could make one. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
/** What jose says of the provider's keys: that they do not come, with another status than 200, or are none. */
const PROVIDERS_FAULTS: ReadonlySet<string> = new Set([
  errors.JWKSTimeout.code,
  errors.JOSEError.code,
  errors.JWKSInvalid.code,
]);
const CLOCK_SKEW_S = 30;
/** That a subject has at most (OpenID Connect Core 1.0, section 2). With less of it two persons could have one name in the trail. */
const SUBJECT_CHARACTERS = 255;
const TIMEOUT_MS = 3000;

/** Keys that come in the clear could be anybody's, however the document came. */
const discoverySchema = z.looseObject({ issuer: z.string(), jwks_uri: trustedUrl });

export function oidcVerifier(settings: OidcSettings): OidcVerifier {
  let keys: ReturnType<typeof createRemoteJWKSet> | undefined;
  return async (token, nowMs) => {
    if (token.split('.').length !== 3) return undefined;
    try {
      keys ??= createRemoteJWKSet(await keysAddress(settings.issuer), { timeoutDuration: TIMEOUT_MS });
      const { payload } = await jwtVerify(token, keys, {
        issuer: settings.issuer,
        audience: settings.audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_SKEW_S,
        requiredClaims: ['exp', 'sub'],
        currentDate: new Date(nowMs),
      });
      const role = roleOf(payload, settings);
      return role === undefined
        ? undefined
        : { kind: 'operator', name: `oidc:${String(payload.sub).slice(0, SUBJECT_CHARACTERS)}`, role };
    } catch (error) {
      if (error instanceof errors.JOSEError && !PROVIDERS_FAULTS.has(error.code)) return undefined;
      if (error instanceof SppError) throw error;
      throw unavailable(error);
    }
  };
}

/** OpenID Connect Discovery 1.0, section 4: the document must say that it is the issuer's. */
async function keysAddress(issuer: string): Promise<URL> {
  const response = await fetch(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
    signal: AbortSignal.timeout(TIMEOUT_MS),
    // Followed nowhere: Workers know no `error`, and what is not 200 is refused below.
    redirect: 'manual',
  }).catch((cause: unknown) => {
    throw unavailable(cause);
  });
  const parsed = discoverySchema.safeParse(await response.json().catch(() => undefined));
  if (!response.ok || !parsed.success || parsed.data.issuer !== issuer) throw unavailable(parsed.error);
  return new URL(parsed.data.jwks_uri);
}

/** The strongest role that the claim's values give. */
function roleOf(payload: JWTPayload, { roleClaim, roles }: OidcSettings): OperatorRole | undefined {
  const claim = roleClaim
    .split('.')
    .reduce<unknown>(
      (at, name) =>
        typeof at === 'object' && at !== null && Object.hasOwn(at, name)
          ? (at as Record<string, unknown>)[name]
          : undefined,
      payload,
    );
  const values: unknown[] = Array.isArray(claim) ? claim : [claim];
  return operatorRoles.findLast((role) => roles[role] !== undefined && values.includes(roles[role]));
}

function unavailable(cause: unknown): SppError {
  return new SppError('not-ready', 'The identity provider cannot be asked at the moment.', {
    hint: 'Try again in a moment.',
    retryAfterS: 1,
    cause,
  });
}
