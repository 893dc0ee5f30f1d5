package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// exceptions is the file of permitted differences; the README beside it says
// how a comparison reads it.
type exceptions struct {
	Format     int                 `json:"format"`
	Exceptions []exception         `json:"exceptions"`
	Same       map[string][]string `json:"same"`
	Also       []also              `json:"also"`
}

// also is a pair of reasons that mean the same for some tags only.
type also struct {
	Tags   []string `json:"tags"`
	Reason string   `json:"reason"`
	Judge  string   `json:"judge"`
	Why    string   `json:"why"`
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
	// Details are words of a refusal, one of which is in its text.
	Details []string `json:"details"`
}

// randomTag is the tag of bytes changed at random, under a good signature.
const randomTag = "damage-signed"

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

// That each exception is true, too, is shown by the comparison (README, rules 1
// and 4); here, that the file says what it must.
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
		case e.Ours.Verdict == "accept" && len(e.Judge.Classes) == 0:
			t.Errorf("%s: say which refusals of the judge are meant", e.Name)
		case e.Ours.Verdict == "accept" && slices.Contains(e.Tags, randomTag) && len(e.Judge.Details) == 0:
			t.Errorf("%s: say in `details` which refusals of damaged certificates are meant", e.Name)
		case e.Ours.Verdict == "refuse" && len(e.Ours.Reasons) == 0:
			t.Errorf("%s: say which refusals of ours are meant", e.Name)
		}
		checkClasses(t, e.Name, e.Judge.Classes)
		names[e.Name] = true
	}
	for reason, same := range file.Same {
		checkClasses(t, reason, same)
	}
	for _, a := range file.Also {
		checkClasses(t, a.Reason, []string{a.Judge})
		if len(a.Tags) == 0 || a.Why == "" {
			t.Errorf("also %s and %s: tags and why must be said", a.Reason, a.Judge)
		}
	}
}

func checkClasses(t *testing.T, name string, named []string) {
	t.Helper()
	for _, class := range named {
		if !slices.Contains(classes, class) {
			t.Errorf("%s: unknown class %q", name, class)
		}
	}
}
