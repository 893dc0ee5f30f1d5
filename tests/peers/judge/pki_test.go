package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// now is the time every case is judged at.
var now = time.Unix(1_800_000_000, 0)

// issued is a certificate with the key it certifies.
type issued struct {
	der  []byte
	cert *x509.Certificate
	key  crypto.Signer
}

type change func(*x509.Certificate)

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func uri(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var serial int64

func issue(t *testing.T, template *x509.Certificate, key crypto.Signer, parent *issued) issued {
	t.Helper()
	serial++
	template.SerialNumber = big.NewInt(serial)
	issuer, signer := template, key
	if parent != nil {
		issuer, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issued{der: der, cert: cert, key: key}
}

func authority(t *testing.T, name string, parent *issued, changes ...change) issued {
	t.Helper()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:                  []*url.URL{uri(t, "spiffe://example.org")},
	}
	for _, change := range changes {
		change(template)
	}
	return issue(t, template, ecKey(t), parent)
}

func leaf(t *testing.T, parent issued, changes ...change) issued {
	t.Helper()
	return leafWithKey(t, parent, ecKey(t), changes...)
}

func leafWithKey(t *testing.T, parent issued, key crypto.Signer, changes ...change) issued {
	t.Helper()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "workload"},
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.Add(time.Minute),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:                  []*url.URL{uri(t, "spiffe://example.org/web")},
	}
	for _, change := range changes {
		change(template)
	}
	return issue(t, template, key, &parent)
}

func withURIs(t *testing.T, texts ...string) change {
	t.Helper()
	return func(c *x509.Certificate) {
		c.URIs = nil
		for _, text := range texts {
			c.URIs = append(c.URIs, uri(t, text))
		}
	}
}

func withUsage(usage x509.KeyUsage) change {
	return func(c *x509.Certificate) { c.KeyUsage = usage }
}

func valid(from, until time.Duration) change {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(from), now.Add(until) }
}

func p224Key(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSAN              = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidPolicies         = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidPrivate          = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
)

// withExtension adds an extension of which the template knows nothing.
func withExtension(id asn1.ObjectIdentifier, critical bool, value ...byte) change {
	return func(c *x509.Certificate) {
		if id.Equal(oidExtKeyUsage) {
			c.ExtKeyUsage = nil
		}
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: critical, Value: value})
	}
}

func withUnknownCritical(c *x509.Certificate) { withExtension(oidPrivate, true, 5, 0)(c) }

// withSAN writes a URI SAN byte for byte, past Go's own URL type.
func withSAN(t *testing.T, text string) change {
	t.Helper()
	value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *x509.Certificate) {
		c.URIs = nil
		withExtension(oidSAN, false, value...)(c)
	}
}

func withRawUsage(value ...byte) change {
	return func(c *x509.Certificate) {
		c.KeyUsage = 0
		withExtension(oidKeyUsage, true, value...)(c)
	}
}

func withEKU(usages ...x509.ExtKeyUsage) change {
	return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
}

func withNameConstraints(permitted string) change {
	return func(c *x509.Certificate) {
		c.PermittedURIDomains, c.PermittedDNSDomainsCritical = []string{permitted}, true
	}
}

// withCriticalPolicies names one policy, 1.2.3.4.
func withCriticalPolicies(c *x509.Certificate) {
	withExtension(oidPolicies, true, 0x30, 7, 0x30, 5, 6, 3, 0x2a, 3, 4)(c)
}

// withPathLengthAlone writes basicConstraints with pathLenConstraint 0 and without cA.
func withPathLengthAlone(c *x509.Certificate) {
	c.BasicConstraintsValid = false
	withExtension(oidBasicConstraints, true, 0x30, 3, 2, 1, 0)(c)
}

func chainCase(anchors []issued, chain ...issued) testCase {
	c := testCase{Kind: "chain", Now: now.Unix(), Bundles: map[string][][]byte{"example.org": nil}}
	for _, anchor := range anchors {
		c.Bundles["example.org"] = append(c.Bundles["example.org"], anchor.der)
	}
	for _, cert := range chain {
		c.Chain = append(c.Chain, cert.der)
	}
	return c
}
