package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// update is one line of `judge watch`.
type update struct {
	// At is when it was received, Unix seconds.
	At float64 `json:"at"`
	// Bundles maps a trust domain to the SHA-256 of each anchor.
	Bundles map[string][]string `json:"bundles,omitempty"`
	// Error is what ended a subscription; the library subscribes again.
	Error string `json:"error,omitempty"`
}

// watch prints every X.509 bundle update of a Workload API, with its time: the
// zero from which a test counts how fast the agent follows.
func watch(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	socket := flags.String("socket", "unix:///run/spire/sockets/agent.sock", "Workload API address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	watcher := &printer{encoder: json.NewEncoder(out)}
	err := workloadapi.WatchX509Bundles(ctx, watcher, workloadapi.WithAddr(*socket))
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type printer struct {
	mutex   sync.Mutex
	encoder *json.Encoder
}

func (p *printer) print(u update) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	u.At = float64(time.Now().UnixNano()) / 1e9
	_ = p.encoder.Encode(u)
}

func (p *printer) OnX509BundlesUpdate(set *x509bundle.Set) {
	u := update{Bundles: map[string][]string{}}
	for _, bundle := range set.Bundles() {
		prints := []string{}
		for _, anchor := range bundle.X509Authorities() {
			sum := sha256.Sum256(anchor.Raw)
			prints = append(prints, hex.EncodeToString(sum[:]))
		}
		u.Bundles[bundle.TrustDomain().Name()] = prints
	}
	p.print(u)
}

func (p *printer) OnX509BundlesWatchError(err error) {
	p.print(update{Error: err.Error()})
}
