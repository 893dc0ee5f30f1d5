package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// expect is "accept", or the class of the refusal.
func expect(t *testing.T, name string, c testCase, want string) {
	t.Helper()
	v := c.judge()
	got := v.Class
	if v.Verdict == "accept" {
		got = "accept"
	}
	if got != want {
		t.Errorf("%s: %s (%s), want %s", name, got, v.Detail, want)
	}
}

// The reference vectors of spec X509-SVID §3-§5, and one case for each class.
func TestChains(t *testing.T) {
	root := authority(t, "root", nil)
	roots := []issued{root}
	inter := authority(t, "intermediate", &root)
	stranger := authority(t, "stranger", nil)

	expect(t, "leaf under its root", chainCase(roots, leaf(t, root)), "accept")
	expect(t, "leaf and intermediate", chainCase(roots, leaf(t, inter), inter), "accept")
	expect(t, "unrelated intermediate too", chainCase(roots, leaf(t, inter), stranger, inter), "accept")
	expect(t, "intermediate missing", chainCase(roots, leaf(t, inter)), classUnknownAuthority)
	expect(t, "empty chain", chainCase(roots), classNoCertificates)
	expect(t, "no anchors", chainCase(nil, leaf(t, root)), classUnknownAuthority)
	expect(t, "foreign root", chainCase([]issued{stranger}, leaf(t, root)), classUnknownAuthority)
	expect(t, "no URI SAN", chainCase(roots, leaf(t, root, withURIs(t))), classNoURISAN)
	expect(t, "two URI SANs", chainCase(roots, leaf(t, root, withURIs(t, "spiffe://example.org/a", "https://x.test"))), classManyURISANs)
	expect(t, "https ID", chainCase(roots, leaf(t, root, withURIs(t, "https://example.org/web"))), classBadID)
	expect(t, "domain without bundle", chainCase(roots, leaf(t, root, withURIs(t, "spiffe://other.test/web"))), classNoBundle)
	expect(t, "CA leaf", chainCase(roots, authority(t, "ca", &root, withURIs(t, "spiffe://example.org/web"))), classLeafIsCA)
	expect(t, "leaf with cRLSign", chainCase(roots, leaf(t, root, withUsage(x509.KeyUsageCRLSign|x509.KeyUsageDigitalSignature))), classLeafSigns)
	expect(t, "leaf expired", chainCase(roots, leaf(t, root, valid(-time.Hour, -time.Second))), classExpired)
	expect(t, "leaf at notAfter", chainCase(roots, leaf(t, root, valid(-time.Hour, 0))), "accept")
	expect(t, "leaf not yet valid", chainCase(roots, leaf(t, root, valid(time.Second, time.Hour))), classNotYetValid)
	expect(t, "leaf at notBefore", chainCase(roots, leaf(t, root, valid(0, time.Hour))), "accept")
	expect(t, "unknown critical extension", chainCase(roots, leaf(t, root, withUnknownCritical)), classCritical)

	late := authority(t, "late", &root, valid(time.Second, time.Hour))
	expect(t, "intermediate not yet valid", chainCase(roots, leaf(t, late), late), classNotYetValid)
	old := authority(t, "old", nil, valid(-2*time.Hour, -time.Second))
	expect(t, "expired anchor", chainCase([]issued{old}, leaf(t, old)), classExpired)
	short := authority(t, "short", &root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	below := authority(t, "below", &short)
	expect(t, "path length", chainCase(roots, leaf(t, below), below, short), classPath)
	issuing := leaf(t, root)
	expect(t, "leaf signed by a leaf", chainCase(roots, leaf(t, issuing), issuing), classUnknownAuthority)

	broken := chainCase(roots, leaf(t, root))
	broken.Chain[0][0] ^= 1
	expect(t, "first byte damaged", broken, classParse)
	broken = chainCase(roots, leaf(t, root))
	broken.Bundles["example.org"][0] = []byte{1}
	expect(t, "bundle of the test damaged", broken, classBadCase)
}

func TestIDs(t *testing.T) {
	for id, want := range map[string]string{
		"spiffe://example.org/web":   "accept",
		"spiffe://example.org":       "accept",
		"SPIFFE://Example.org/a":     classBadID,
		"spiffe://example.org/a/":    classBadID,
		"spiffe://example.org/../a":  classBadID,
		"spiffe://example.org:443/a": classBadID,
		"":                           classBadID,
	} {
		expect(t, id, testCase{Kind: "id", ID: id}, want)
	}
	expect(t, "not UTF-8", testCase{Kind: "id", IDBytes: []byte("spiffe://example.org/\xff")}, classBadID)
}

// Lines in, as many lines out, in order, whatever is in them.
func TestStream(t *testing.T) {
	in := strings.Join([]string{
		`{"case":"a","kind":"id","id":"spiffe://example.org/web"}`,
		`not json`,
		`{"case":"c","kind":"riddle"}`,
		`{"case":"d","kind":"id","id":"x"}`,
	}, "\n")
	var out bytes.Buffer
	if err := judgeLines(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		got = append(got, v.Case+":"+v.Verdict+":"+v.Class)
	}
	want := "a:accept: :refuse:bad-case c:refuse:bad-case d:refuse:bad-id"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, " "), want)
	}
}
