package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// exceptions is the file of permitted differences; the README beside it says
// how a comparison reads it.
type exceptions struct {
	Format     int                 `json:"format"`
	Exceptions []exception         `json:"exceptions"`
	Same       map[string][]string `json:"same"`
}

type exception struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Tag   string `json:"tag"`
	Ours  side   `json:"ours"`
	Judge side   `json:"judge"`
	Rule  string `json:"rule"`
	Why   string `json:"why"`
}

type side struct {
	Verdict string   `json:"verdict"`
	Reasons []string `json:"reasons"`
	Classes []string `json:"classes"`
}

var classes = []string{
	classParse, classNoCertificates, classNoURISAN, classManyURISANs, classBadID, classLeafIsCA, classLeafSigns,
	classNoBundle, classExpired, classNotYetValid, classUnknownAuthority, classCritical, classPath,
}

func readExceptions(t *testing.T) exceptions {
	t.Helper()
	text, err := os.ReadFile("exceptions.json")
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var file exceptions
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestExceptionsFile(t *testing.T) {
	file := readExceptions(t)
	if file.Format != 1 {
		t.Errorf("format %d, want 1", file.Format)
	}
	names := map[string]bool{}
	for _, e := range file.Exceptions {
		switch {
		case names[e.Name]:
			t.Errorf("%s: twice", e.Name)
		case e.Kind != "chain" && e.Kind != "id":
			t.Errorf("%s: kind %q", e.Name, e.Kind)
		case e.Tag == "" || e.Rule == "" || e.Why == "":
			t.Errorf("%s: tag, rule and why must be said", e.Name)
		case e.Ours.Verdict == e.Judge.Verdict:
			t.Errorf("%s: both %s: no difference", e.Name, e.Judge.Verdict)
		}
		names[e.Name] = true
	}
	for reason, same := range file.Same {
		for _, class := range same {
			if !slices.Contains(classes, class) {
				t.Errorf("%s: unknown class %q", reason, class)
			}
		}
	}
}

// Every exception is a fact about go-spiffe, shown here; one that a newer
// version no longer has turns this test red.
func TestExceptionsAreTrue(t *testing.T) {
	evidence := exceptionCases(t)
	for _, e := range readExceptions(t).Exceptions {
		c, ok := evidence[e.Name]
		if !ok {
			t.Errorf("%s: no case shows it", e.Name)
			continue
		}
		v := c.judge()
		if v.Verdict != e.Judge.Verdict || (len(e.Judge.Classes) > 0 && !slices.Contains(e.Judge.Classes, v.Class)) {
			t.Errorf("%s: the judge says %s %s (%s)", e.Name, v.Verdict, v.Class, v.Detail)
		}
	}
}

func exceptionCases(t *testing.T) map[string]testCase {
	t.Helper()
	root := authority(t, "root", nil)
	roots := []issued{root}
	lone := leaf(t, root)
	workloadCA := authority(t, "ca", nil, withURIs(t, "spiffe://example.org/web"))
	silent := authority(t, "silent", &root, withUsage(0))
	long := []issued{}
	for parent := root; len(long) < 16; parent = long[0] {
		long = slices.Insert(long, 0, authority(t, fmt.Sprintf("link %d", len(long)), &parent))
	}
	return map[string]testCase{
		"path-less-id":            chainCase(roots, leaf(t, root, withURIs(t, "spiffe://example.org"))),
		"no-digital-signature":    chainCase(roots, leaf(t, root, withUsage(x509.KeyUsageKeyAgreement))),
		"no-key-usage":            chainCase(roots, leaf(t, root, withUsage(0))),
		"server-only-eku":         chainCase(roots, leaf(t, root, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })),
		"weak-rsa-leaf":           chainCase(roots, leafWithKey(t, root, rsaKey(t, 1024))),
		"long-chain":              chainCase(roots, slices.Insert(slices.Clone(long), 0, leaf(t, long[0]))...),
		"leaf-is-anchor":          chainCase([]issued{lone}, lone),
		"anchor-with-workload-id": chainCase([]issued{workloadCA}, leaf(t, workloadCA)),
		"ca-without-key-usage":    chainCase(roots, leaf(t, silent), silent),
		"long-id":                 {Kind: "id", ID: "spiffe://example.org/" + strings.Repeat("p", 2048)},
		"long-trust-domain":       {Kind: "id", ID: "spiffe://" + strings.Repeat("a", 256) + "/web"},
	}
}
