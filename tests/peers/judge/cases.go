package main

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// testCase is one line of input. Byte fields are base64 in JSON.
type testCase struct {
	Case string `json:"case"`
	// Kind is "chain" or "id".
	Kind string `json:"kind"`
	// Chain is DER, leaf first.
	Chain [][]byte `json:"chain"`
	// Bundles maps a trust domain's name to its anchors in DER.
	Bundles map[string][][]byte `json:"bundles"`
	// Now is the time to judge at, Unix seconds.
	Now int64 `json:"now"`
	// ID is the text to judge; IDBytes wins where it is not UTF-8.
	ID      string `json:"id"`
	IDBytes []byte `json:"id_base64"`
}

// verdict is one line of output.
type verdict struct {
	Case    string `json:"case"`
	Verdict string `json:"verdict"`
	// ID is the accepted SPIFFE ID.
	ID string `json:"id,omitempty"`
	// Class is the kind of refusal, one of the class constants.
	Class string `json:"class,omitempty"`
	// Detail is the library's own text, for people.
	Detail string `json:"detail,omitempty"`
}

func accept(id spiffeid.ID) verdict {
	return verdict{Verdict: "accept", ID: id.String()}
}

func refuse(class string, err error) verdict {
	return verdict{Verdict: "refuse", Class: class, Detail: err.Error()}
}

func (c testCase) judge() verdict {
	switch c.Kind {
	case "chain":
		return c.judgeChain()
	case "id":
		return c.judgeID()
	default:
		return refuse(classBadCase, fmt.Errorf("kind %q is neither chain nor id", c.Kind))
	}
}

func (c testCase) judgeID() verdict {
	text := c.ID
	if c.IDBytes != nil {
		text = string(c.IDBytes)
	}
	id, err := spiffeid.FromString(text)
	if err != nil {
		return refuse(classBadID, err)
	}
	return accept(id)
}

func (c testCase) judgeChain() verdict {
	bundles, err := c.bundleSet()
	if err != nil {
		return refuse(classBadCase, err)
	}
	certs := make([]*x509.Certificate, 0, len(c.Chain))
	for _, der := range c.Chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return refuse(classParse, err)
		}
		certs = append(certs, cert)
	}
	id, _, err := x509svid.Verify(certs, bundles, x509svid.WithTime(time.Unix(c.Now, 0)))
	if err != nil {
		return refuse(classify(err, certs, bundles, time.Unix(c.Now, 0)), err)
	}
	return accept(id)
}

func (c testCase) bundleSet() (*x509bundle.Set, error) {
	set := x509bundle.NewSet()
	for name, anchors := range c.Bundles {
		domain, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return nil, fmt.Errorf("bundle of %q: %w", name, err)
		}
		bundle := x509bundle.New(domain)
		for i, der := range anchors {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("bundle of %q, certificate %d: %w", name, i, err)
			}
			bundle.AddX509Authority(cert)
		}
		set.Add(bundle)
	}
	return set, nil
}
