#!/bin/sh
# Writes the certificates and keys of these tests with openssl (3.0 or later), valid from now on for a fixed
# number of days; the tests take the dates from the certificates.
# Usage: cd crates/x509/tests/data && ./make.sh
set -eu
rm -f ./*.pem expected.tsv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() { # NAME ALGORITHM OPTION...
    name=$1 algorithm=$2
    shift 2
    openssl genpkey -quiet -algorithm "$algorithm" "$@" -out "$name.pem"
}

sign() { # NAME KEY SUBJECT ISSUER ISSUER-KEY DAYS SERIAL; extensions on stdin
    cat >"$work/ext"
    openssl req -new -utf8 -key "$2.pem" -subj "$3" -out "$work/csr"
    openssl x509 -req -in "$work/csr" -CA "$4.pem" -CAkey "$5.pem" -days "$6" -set_serial "$7" \
        -extfile "$work/ext" -out "$1.pem" 2>/dev/null
}

key root-key EC -pkeyopt ec_paramgen_curve:P-384
openssl req -x509 -new -key root-key.pem -subj "/O=Phoenix Test/CN=Phoenix Test Root" -days 7300 \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" -out root.pem
key intermediate-key RSA -pkeyopt rsa_keygen_bits:2048
sign intermediate intermediate-key "/O=Phoenix Test/CN=Phoenix Test Intermediate" root root-key 7200 16 <<EXT
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
EXT

key p256-key EC -pkeyopt ec_paramgen_curve:P-256
key p384-key EC -pkeyopt ec_paramgen_curve:P-384
key p521-key EC -pkeyopt ec_paramgen_curve:P-521
key rsa2048-key RSA -pkeyopt rsa_keygen_bits:2048
key rsa3072-key RSA -pkeyopt rsa_keygen_bits:3072
key ed25519-key ED25519
openssl ec -in p256-key.pem -out p256-sec1-key.pem 2>/dev/null
openssl ecparam -name secp384r1 -genkey -out p384-sec1-key.pem
openssl rsa -in rsa2048-key.pem -traditional -out rsa2048-pkcs1-key.pem 2>/dev/null
openssl pkcs8 -topk8 -in p256-key.pem -passout pass:secret -out encrypted-key.pem
openssl ec -in p256-key.pem -aes128 -passout pass:secret -out encrypted-sec1-key.pem 2>/dev/null
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa1024-key.pem

for kind in p256 p384 p521 rsa2048 rsa3072 ed25519; do
    sign "$kind" "$kind-key" "/CN=$kind.test" intermediate intermediate-key 7100 0xab00cd <<EXT
subjectAltName=DNS:$kind.test
extendedKeyUsage=serverAuth,clientAuth
EXT
done
sign names p256-key "/C=DE/O=Größe/CN=Names.Test" intermediate intermediate-key 7100 0x7f <<EXT
subjectAltName=DNS:Names.Test,DNS:*.names.test,IP:10.0.0.111,IP:fd00::1,email:Admin@Names.Test,URI:spiffe://names.test/a
extendedKeyUsage=serverAuth
EXT
sign other-names p256-key "/CN=other.test" intermediate intermediate-key 7100 0x8000 <<EXT
subjectAltName=DNS:other.test,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:admin@test,RID:1.2.3
extendedKeyUsage=clientAuth,emailProtection
EXT
sign bare p256-key "/O=No name" intermediate intermediate-key 7100 1 <<EXT
basicConstraints=CA:FALSE
EXT
sign code p256-key "/CN=code.test" intermediate intermediate-key 7100 2 <<EXT
extendedKeyUsage=codeSigning
EXT
sign any p256-key "/CN=any.test" intermediate intermediate-key 7100 2 <<EXT
extendedKeyUsage=anyExtendedKeyUsage
EXT
# The root again as openssl makes it without extensions: version 1.
openssl req -new -key root-key.pem -subj "/O=Phoenix Test/CN=Phoenix Test Root" -out "$work/csr"
openssl x509 -req -in "$work/csr" -signkey root-key.pem -days 7300 -out root-v1.pem 2>/dev/null
rm -f root-key.pem intermediate-key.pem

# What openssl says of each leaf: name, serial, fingerprint, SHA-256 of the SubjectPublicKeyInfo, dates.
: >expected.tsv
for leaf in p256 p384 p521 rsa2048 rsa3072 ed25519 names other-names bare code any; do
    serial=$(openssl x509 -in $leaf.pem -noout -serial | cut -d= -f2 | tr 'A-F' 'a-f')
    fingerprint=$(openssl x509 -in $leaf.pem -noout -fingerprint -sha256 | cut -d= -f2 | tr -d : | tr 'A-F' 'a-f')
    spki=$(openssl x509 -in $leaf.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)
    start=$(date -d "$(openssl x509 -in $leaf.pem -noout -startdate | cut -d= -f2)" +%s)
    end=$(date -d "$(openssl x509 -in $leaf.pem -noout -enddate | cut -d= -f2)" +%s)
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$leaf" "$serial" "$fingerprint" "$spki" "$start" "$end" >>expected.tsv
done
