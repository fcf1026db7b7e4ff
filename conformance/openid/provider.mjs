// An OpenID provider behind TLS that grants signed tokens to clients with a secret: node provider.mjs PORT PEM CLIENTS
//
// PEM is a file with the server's key and certificate, CLIENTS is JSON: the secret of each client, by its id. What a token is
// good for, and for how long, goes by the one scope that is asked for. It says `ready` once it listens.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider, { errors } from 'oidc-provider';

const [port, pem, clients] = process.argv.slice(2);
const issuer = `https://127.0.0.1:${port}`;

/** Times in seconds; `age` is how long ago a token was issued that has just been. */
const SCOPES = {
  kafka: { audience: 'kafka', life: 600, age: 0 },
  brief: { audience: 'kafka', life: 30, age: 0 },
  expired: { audience: 'kafka', life: 600, age: 7200 },
  elsewhere: { audience: 'elsewhere', life: 600, age: 0 },
};
const RESOURCE = 'urn:scope:';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(issuer, {
  clients: Object.entries(JSON.parse(clients)).map(([id, secret]) => ({
    client_id: id,
    client_secret: secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' }] },
  scopes: Object.keys(SCOPES),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx) => RESOURCE + ctx.oidc.params.scope,
      getResourceServerInfo: (ctx, resource) => {
        const scope = resource.slice(RESOURCE.length);
        const known = SCOPES[scope];
        if (!known) throw new errors.InvalidScope('there is no such scope', scope);
        const { audience, life } = known;
        return { scope, audience, accessTokenTTL: life, accessTokenFormat: 'jwt' };
      },
    },
  },
  formats: {
    customizers: {
      jwt: (ctx, token, { payload }) => {
        const { age } = SCOPES[payload.scope];
        payload.iat -= age;
        payload.exp -= age;
      },
    },
  },
});
provider.on('server_error', (ctx, error) => console.error(error));

const key = readFileSync(pem);
createServer({ key, cert: key }, provider.callback()).listen(Number(port), '127.0.0.1', () => console.log('ready'));
