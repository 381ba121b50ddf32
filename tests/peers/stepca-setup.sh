#!/usr/bin/env bash
# stepca-setup.sh - make the directory of a throw-away Step-CA on loopback. Starts nothing.
#
#   stepca-setup.sh --dir DIR --port N [options]      DIR must not exist
#
# Then run the server with STEPPATH=DIR and no argument: the password of the CA key is in its ca.json.
#
# Options (default):
#   --host NAME         extra DNS name for the server certificate, repeatable
#   --db KIND           bbolt | badgerv2 | none (none turns ACME off)  (bbolt)
#   --min D --default D --max D   claims as Go durations               (5m, 24h, 24h)
#   --provisioner NAME  JWK provisioner name                           (admin@thinkheads.ai)
#   --password TEXT     provisioner password                           (phoenix-test-provisioner)
#   --iterations N      PBES2 count of the provisioner key             (100000)
#   --merge FILE        JSON merge patch (RFC 7396) applied to ca.json
#
# Needs: bash, openssl, python3 (standard library only). The server listens on 127.0.0.1 and nothing else.
# What a client needs is in DIR/env.json:
#   CA_URL CA_PORT CA_ROOT CA_FINGERPRINT CA_PROVISIONER CA_KID CA_PASSWORD_FILE CA_ACME_DIRECTORY
set -euo pipefail
umask 077

die() { printf 'stepca-setup: %s\n' "$*" >&2; exit 1; }

dir='' port='' db=bbolt dmin=5m ddef=24h dmax=24h
prov='admin@thinkheads.ai' password='phoenix-test-provisioner' iterations=100000 merge=''
hosts=()
while [ $# -gt 0 ]; do
  case $1 in
    --dir) dir=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --host) hosts+=("$2"); shift 2 ;;
    --db) db=$2; shift 2 ;;
    --min) dmin=$2; shift 2 ;;
    --default) ddef=$2; shift 2 ;;
    --max) dmax=$2; shift 2 ;;
    --provisioner) prov=$2; shift 2 ;;
    --password) password=$2; shift 2 ;;
    --iterations) iterations=$2; shift 2 ;;
    --merge) merge=$(realpath -- "$2"); shift 2 ;;
    *) die "unknown option $1" ;;
  esac
done
[ -n "$dir" ] || die 'missing --dir'
[ -n "$port" ] || die 'missing --port'
case $db in badgerv2|bbolt|none) ;; *) die "unknown --db $db" ;; esac

# --- PKI and configuration --------------------------------------------------------------------

make_ca_certs() {
  # `openssl ca` is the one sub-command of OpenSSL 3.0 that can backdate a certificate. The CA certificates start a
  # day ago, because a renew token is checked as of one minute before the leaf's notAfter: with brand-new CA
  # certificates the renewal of an already expired test certificate would fail on the intermediate's notBefore.
  local work=$dir/secrets/tmp conf=$dir/secrets/tmp/openssl.cnf n parent start
  mkdir "$work"; : > "$work/index.txt"
  cat > "$conf" <<CONF
[req]
distinguished_name = dn
prompt = no
[dn]
CN = unused
[ca]
default_ca = it
[it]
database = $work/index.txt
new_certs_dir = $work
rand_serial = yes
default_md = sha256
unique_subject = no
email_in_dn = no
policy = any
[any]
organizationName = optional
commonName = supplied
[root]
basicConstraints = critical,CA:true,pathlen:1
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical,CA:true,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CONF
  start=$(date -u -d '1 day ago' +%Y%m%d%H%M%SZ)
  for n in root intermediate; do
    # Encrypted PKCS#8 keys, opened by step-ca with the `password` of ca.json.
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc \
      -pass "file:$dir/secrets/password" -out "$dir/secrets/${n}_ca_key" 2>/dev/null
    openssl req -new -config "$conf" -subj "/O=Phoenix Test/CN=Phoenix Test ${n^} CA" -sha256 \
      -key "$dir/secrets/${n}_ca_key" -passin "file:$dir/secrets/password" -out "$work/$n.csr"
    if [ "$n" = root ]; then parent=(-selfsign -keyfile "$dir/secrets/root_ca_key")
    else parent=(-cert "$dir/certs/root_ca.crt" -keyfile "$dir/secrets/root_ca_key"); fi
    openssl ca -batch -notext -config "$conf" "${parent[@]}" -passin "file:$dir/secrets/password" -extensions "$n" \
      -startdate "$start" -days 3650 -in "$work/$n.csr" -out "$dir/certs/${n}_ca.crt" 2>"$work/log" \
      || { cat "$work/log" >&2; die "openssl ca failed for the $n certificate"; }
  done
  rm -rf "$work"
  chmod 644 "$dir"/certs/*.crt
}

make_provisioner_and_config() {
  # A P-256 signing key in SEC1 DER: python picks d and the point out of it.
  openssl ecparam -name prime256v1 -genkey -noout -outform DER -out "$dir/secrets/jwk.der"
  python3 - "$dir" "$port" "$db" "$dmin" "$ddef" "$dmax" "$prov" "$iterations" "$merge" "${hosts[@]+"${hosts[@]}"}" <<'PY'
import base64, hashlib, json, os, ssl, sys
d, port, db, dmin, ddef, dmax, prov, iterations, merge, *hosts = sys.argv[1:]
port, iterations = int(port), int(iterations)

# ---- AES, key wrap (RFC 3394) and GCM: only what one compact JWE needs ----
def _tables():
    sbox, p, q = [0x63] * 256, 1, 1
    while True:
        p = p ^ (p << 1) & 0xff ^ (0x1b if p & 0x80 else 0)
        q ^= q << 1; q ^= q << 2; q ^= q << 4; q &= 0xff
        if q & 0x80: q ^= 0x09
        r = q ^ ((q << 1 | q >> 7) & 0xff) ^ ((q << 2 | q >> 6) & 0xff) ^ ((q << 3 | q >> 5) & 0xff) ^ ((q << 4 | q >> 4) & 0xff)
        sbox[p] = r ^ 0x63
        if p == 1: return sbox
SBOX = _tables()
def _x2(b): return ((b << 1) ^ (0x11b if b & 0x80 else 0)) & 0xff
def aes_schedule(key):
    nk = len(key) // 4
    w = [list(key[4 * i:4 * i + 4]) for i in range(nk)]
    rcon = 1
    for i in range(nk, 4 * (nk + 7)):
        t = list(w[i - 1])
        if i % nk == 0:
            t = [SBOX[b] for b in t[1:] + t[:1]]; t[0] ^= rcon; rcon = _x2(rcon)
        elif nk > 6 and i % nk == 4:
            t = [SBOX[b] for b in t]
        w.append([a ^ b for a, b in zip(w[i - nk], t)])
    return [sum(w[i:i + 4], []) for i in range(0, len(w), 4)]
def aes_block(sched, block):
    s = [a ^ b for a, b in zip(block, sched[0])]
    for rnd, rk in enumerate(sched[1:], 1):
        s = [SBOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]           # SubBytes + ShiftRows
        if rnd < len(sched) - 1:
            m = []
            for c in range(0, 16, 4):
                a, b, e, f = s[c:c + 4]; t = a ^ b ^ e ^ f
                m += [a ^ t ^ _x2(a ^ b), b ^ t ^ _x2(b ^ e), e ^ t ^ _x2(e ^ f), f ^ t ^ _x2(f ^ a)]
            s = m
        s = [a ^ b for a, b in zip(s, rk)]
    return bytes(s)
def key_wrap(kek, key):
    sched, a = aes_schedule(kek), b'\xa6' * 8
    r = [key[i:i + 8] for i in range(0, len(key), 8)]
    for j in range(6):
        for i in range(len(r)):
            o = aes_block(sched, a + r[i])
            a = (int.from_bytes(o[:8], 'big') ^ (len(r) * j + i + 1)).to_bytes(8, 'big'); r[i] = o[8:]
    return a + b''.join(r)
def gcm_seal(key, iv, plain, aad):
    sched = aes_schedule(key)
    h = int.from_bytes(aes_block(sched, bytes(16)), 'big')
    def mul(x, y):
        z = 0
        for i in range(127, -1, -1):
            if x >> i & 1: z ^= y
            y = y >> 1 ^ (0xe1 << 120 if y & 1 else 0)
        return z
    def ctr(n): return aes_block(sched, iv + n.to_bytes(4, 'big'))
    pad = lambda b: b + bytes(-len(b) % 16)
    ct = b''.join(bytes(a ^ b for a, b in zip(plain[i:i + 16], ctr(2 + i // 16))) for i in range(0, len(plain), 16))
    g, data = 0, pad(aad) + pad(ct) + (8 * len(aad)).to_bytes(8, 'big') + (8 * len(ct)).to_bytes(8, 'big')
    for i in range(0, len(data), 16):
        g = mul(g ^ int.from_bytes(data[i:i + 16], 'big'), h)
    return ct, (g ^ int.from_bytes(ctr(1), 'big')).to_bytes(16, 'big')

# self-check against published vectors (FIPS 197 C.1/C.3, RFC 3394 4.1, GCM test case 14)
H = bytes.fromhex
assert aes_block(aes_schedule(bytes(range(16))), H('00112233445566778899aabbccddeeff')) == H('69c4e0d86a7b0430d8cdb78070b4c55a')
assert aes_block(aes_schedule(bytes(range(32))), H('00112233445566778899aabbccddeeff')) == H('8ea2b7ca516745bfeafc49904b496089')
assert key_wrap(bytes(range(16)), H('00112233445566778899aabbccddeeff')) == H('1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5')
assert gcm_seal(bytes(32), bytes(12), bytes(16), b'') == (H('cea7403d4d606b6e074ec5d3baf39d18'), H('d0d1c8a799996bf0265b98b5d48ab919'))

b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b'=').decode()
compact = lambda o: json.dumps(o, separators=(',', ':')).encode()

# ---- provisioner key ----
der = open(f'{d}/secrets/jwk.der', 'rb').read()
assert der[:7] == H('30770201010420') and len(der) == 121, 'unexpected EC key encoding'
secret, x, y = der[7:39], der[-64:-32], der[-32:]
os.unlink(f'{d}/secrets/jwk.der')
point = {'crv': 'P-256', 'kty': 'EC', 'x': b64(x), 'y': b64(y)}
kid = b64(hashlib.sha256(compact(point)).digest())                            # RFC 7638 thumbprint
public = {'use': 'sig', 'kty': 'EC', 'kid': kid, 'crv': 'P-256', 'alg': 'ES256', 'x': b64(x), 'y': b64(y)}
private = dict(public, d=b64(secret))
pw = open(f'{d}/secrets/provisioner_password', 'rb').read()
salt, alg = os.urandom(16), 'PBES2-HS256+A128KW'
header = b64(compact({'alg': alg, 'cty': 'jwk+json', 'enc': 'A256GCM', 'p2c': iterations, 'p2s': b64(salt)}))
kek = hashlib.pbkdf2_hmac('sha256', pw, alg.encode() + b'\0' + salt, iterations, 16)
cek, iv = os.urandom(32), os.urandom(12)
ct, tag = gcm_seal(cek, iv, compact(private), header.encode())
jwe = '.'.join([header, b64(key_wrap(kek, cek)), b64(iv), b64(ct), b64(tag)])

# ---- ca.json ----
names = ['localhost', '127.0.0.1'] + hosts
claims = {'minTLSCertDuration': dmin, 'maxTLSCertDuration': dmax, 'defaultTLSCertDuration': ddef}
provisioners = [{'type': 'JWK', 'name': prov, 'key': public, 'encryptedKey': jwe, 'claims': claims}]
if db != 'none':
    provisioners.append({'type': 'ACME', 'name': 'acme', 'claims': claims})
conf = {
    'root': f'{d}/certs/root_ca.crt', 'federatedRoots': None,
    'crt': f'{d}/certs/intermediate_ca.crt', 'key': f'{d}/secrets/intermediate_ca_key',
    'address': f'127.0.0.1:{port}', 'insecureAddress': '', 'dnsNames': names,
    'password': open(f'{d}/secrets/password').read(),
    'logger': {'format': 'json'},
    'authority': {'provisioners': provisioners},
    'tls': {'cipherSuites': ['TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
            'minVersion': 1.2, 'maxVersion': 1.3, 'renegotiation': False},
}
if db == 'badgerv2':
    conf['db'] = {'type': 'badgerv2', 'dataSource': f'{d}/db', 'badgerFileLoadingMode': ''}
elif db == 'bbolt':
    conf['db'] = {'type': 'bbolt', 'dataSource': f'{d}/db/ca.bbolt'}
def patch(target, p):
    if not isinstance(p, dict): return p
    target = dict(target) if isinstance(target, dict) else {}
    for k, v in p.items():
        if v is None: target.pop(k, None)
        else: target[k] = patch(target.get(k), v)
    return target
if merge:
    conf = patch(conf, json.load(open(merge)))
with open(f'{d}/config/ca.json', 'w') as f:
    json.dump(conf, f, indent=2)

fp = hashlib.sha256(ssl.PEM_cert_to_DER_cert(open(f'{d}/certs/root_ca.crt').read())).hexdigest()
url = f'https://localhost:{port}'
env = {'CA_URL': url, 'CA_PORT': str(port), 'CA_ROOT': f'{d}/certs/root_ca.crt', 'CA_FINGERPRINT': fp,
       'CA_PROVISIONER': prov, 'CA_KID': kid, 'CA_PASSWORD_FILE': f'{d}/secrets/provisioner_password',
       'CA_ACME_DIRECTORY': f'{url}/acme/acme/directory' if db != 'none' else ''}
json.dump(env, open(f'{d}/env.json', 'w'), indent=2)
PY
}

# --- all of it --------------------------------------------------------------------------------

[ ! -e "$dir" ] || die "$dir exists already"
mkdir -p "$dir"; dir=$(realpath -- "$dir")
mkdir "$dir/certs" "$dir/secrets" "$dir/config" "$dir/db"
openssl rand -hex 16 | tr -d '\n' > "$dir/secrets/password"
printf '%s' "$password" > "$dir/secrets/provisioner_password"
make_ca_certs
make_provisioner_and_config

