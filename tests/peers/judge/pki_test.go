package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	return issue(t, template, ecKey(t), &parent)
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

// withUnknownCritical adds a critical extension that nobody knows.
func withUnknownCritical(c *x509.Certificate) {
	id := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: true, Value: []byte{5, 0}})
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
