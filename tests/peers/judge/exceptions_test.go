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
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`
	Tags  []string `json:"tags"`
	Ours  side     `json:"ours"`
	Judge side     `json:"judge"`
	Rule  string   `json:"rule"`
	Why   string   `json:"why"`
	// Laxer says why accepting what the judge refuses is no wrong allow.
	Laxer string `json:"laxer"`
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
		case len(e.Tags) == 0 || e.Rule == "" || e.Why == "":
			t.Errorf("%s: tags, rule and why must be said", e.Name)
		case e.Ours.Verdict == e.Judge.Verdict:
			t.Errorf("%s: both %s: no difference", e.Name, e.Judge.Verdict)
		case e.Ours.Verdict == "accept" && e.Laxer == "":
			t.Errorf("%s: we accept what the judge refuses: say in `laxer` why that is no wrong allow", e.Name)
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

// Every exception is a fact about go-spiffe, shown here for each of its tags; one
// that a newer version no longer has turns this test red.
func TestExceptionsAreTrue(t *testing.T) {
	evidence := exceptionCases(t)
	for _, e := range readExceptions(t).Exceptions {
		for _, tag := range e.Tags {
			c, ok := evidence[tag]
			if !ok {
				t.Errorf("%s: no case shows %s", e.Name, tag)
				continue
			}
			v := c.judge()
			if c.Kind != e.Kind || v.Verdict != e.Judge.Verdict || (len(e.Judge.Classes) > 0 && !slices.Contains(e.Judge.Classes, v.Class)) {
				t.Errorf("%s, %s: the judge says %s %s (%s)", e.Name, tag, v.Verdict, v.Class, v.Detail)
			}
			delete(evidence, tag)
		}
	}
	for tag := range evidence {
		t.Errorf("no exception has the tag %s", tag)
	}
}

func exceptionCases(t *testing.T) map[string]testCase {
	t.Helper()
	cases := map[string]testCase{
		"id-over-2048-bytes":          {Kind: "id", ID: "spiffe://example.org/" + strings.Repeat("p", 2048)},
		"trust-domain-over-255-bytes": {Kind: "id", ID: "spiffe://" + strings.Repeat("a", 256) + "/web"},
	}
	addLeaves(t, cases)
	addAuthorities(t, cases)
	return cases
}

// addLeaves adds the cases in which the leaf is what differs.
func addLeaves(t *testing.T, cases map[string]testCase) {
	t.Helper()
	root := authority(t, "root", nil)
	for tag, change := range map[string]change{
		"leaf-id-without-path":           withURIs(t, "spiffe://example.org"),
		"leaf-id-upper-scheme":           withSAN(t, "SPIFFE://example.org/web"),
		"leaf-id-empty-fragment":         withSAN(t, "spiffe://example.org/web#"),
		"leaf-id-over-2048-bytes":        withSAN(t, "spiffe://example.org/"+strings.Repeat("p", 2048)),
		"leaf-without-digital-signature": withUsage(x509.KeyUsageKeyAgreement),
		"leaf-without-key-usage":         withUsage(0),
		"leaf-key-usage-empty":           withRawUsage(0x03, 0x01, 0x00),
		"leaf-eku-without-client-auth":   withEKU(x509.ExtKeyUsageServerAuth),
		"leaf-eku-any":                   withEKU(x509.ExtKeyUsageAny),
		"leaf-eku-empty":                 withExtension(oidExtKeyUsage, false, 0x30, 0x00),
		"leaf-critical-policies":         withCriticalPolicies,
		"leaf-critical-name-constraints": withNameConstraints("other.test"),
		"leaf-path-length":               withPathLengthAlone,
	} {
		cases[tag] = chainCase([]issued{root}, leaf(t, root, change))
	}
	cases["leaf-rsa-1024"] = chainCase([]issued{root}, leafWithKey(t, root, rsaKey(t, 1024)))
	cases["leaf-p224"] = chainCase([]issued{root}, leafWithKey(t, root, p224Key(t)))
	lone := leaf(t, root)
	cases["leaf-in-bundle"] = chainCase([]issued{lone}, lone)
}

// addAuthorities adds the cases in which a signing certificate is what differs.
func addAuthorities(t *testing.T, cases map[string]testCase) {
	t.Helper()
	root := authority(t, "root", nil)
	for name, change := range map[string]change{
		"with-workload-id":        withURIs(t, "spiffe://example.org/web"),
		"eku-without-client-auth": withEKU(x509.ExtKeyUsageServerAuth),
		"eku-any":                 withEKU(x509.ExtKeyUsageAny),
		"name-constraints-permit": withNameConstraints("example.org"),
		"critical-policies":       withCriticalPolicies,
	} {
		anchor, below := authority(t, "anchor", nil, change), authority(t, "below", &root, change)
		cases["anchor-"+name] = chainCase([]issued{anchor}, leaf(t, anchor))
		cases["intermediate-"+name] = chainCase([]issued{root}, leaf(t, below), below)
	}
	silent := authority(t, "silent", &root, withUsage(0))
	cases["intermediate-without-key-usage"] = chainCase([]issued{root}, leaf(t, silent), silent)

	cases["path-of-7-intermediates"] = chainCase([]issued{root}, longChain(t, root, 7)...)
	cases["chain-of-17"] = chainCase([]issued{root}, longChain(t, root, 16)...)
}

// longChain is a leaf and its intermediates, with names of their own: see the
// README on Go's signature budget.
func longChain(t *testing.T, root issued, intermediates int) []issued {
	t.Helper()
	chain := []issued{}
	for parent := root; len(chain) < intermediates; parent = chain[0] {
		chain = slices.Insert(chain, 0, authority(t, fmt.Sprintf("link %d", len(chain)), &parent))
	}
	return slices.Insert(chain, 0, leaf(t, chain[0]))
}
