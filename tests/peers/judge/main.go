// Command judge is the second judge: go-spiffe's verdict on the cases that
// the comparison test asks the agent about, too.
//
//	judge          JSON lines on stdin, one verdict a line on stdout, in order
//	judge watch    what a Workload API really delivers, and when
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLine bounds one case: a 2048 KiB chain with its bundles fits many times.
const maxLine = 16 << 20

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
		return judgeLines(os.Stdin, os.Stdout)
	case args[0] == "watch":
		return watch(args[1:], os.Stdout)
	default:
		return fmt.Errorf("unknown command %q (none, or watch)", args[0])
	}
}

func judgeLines(in io.Reader, out io.Writer) error {
	reader := bufio.NewReaderSize(in, 1<<20)
	writer := bufio.NewWriter(out)
	encoder := json.NewEncoder(writer)
	for {
		line, err := readLine(reader)
		if errors.Is(err, io.EOF) {
			return writer.Flush()
		}
		if err != nil {
			return err
		}
		if err := encoder.Encode(judgeLine(line)); err != nil {
			return err
		}
		// Answer at once when nobody is waiting behind this line, so a caller
		// may also ask one by one.
		if reader.Buffered() == 0 {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
}

func readLine(reader *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := reader.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("a case is longer than %d bytes", maxLine)
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func judgeLine(line []byte) verdict {
	var c testCase
	if err := json.Unmarshal(line, &c); err != nil {
		return refuse(classBadCase, err)
	}
	v := c.judge()
	v.Case = c.Case
	return v
}
