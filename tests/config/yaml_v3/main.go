// Says what Go's yaml.v3 makes of each document of documents.txt, read over defaults into fields of the types that
// gorouter.yml has. It wrote outcomes.json, which tests/config/golden.rs holds this project's own reader to:
//
//	go run main.go < documents.txt > outcomes.json     (yaml.v3 3.0.1)
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

type host struct {
	Hostname string `yaml:"hostname" json:"hostname"`
	Port     uint16 `yaml:"port" json:"port"`
}

type status struct {
	Host string `yaml:"host" json:"host"`
	Port uint16 `yaml:"port" json:"port"`
	User string `yaml:"user" json:"user"`
	Pass string `yaml:"pass" json:"pass"`
}

type fields struct {
	Port       uint16        `yaml:"port" json:"port"`
	Index      uint          `yaml:"index" json:"index"`
	Zone       string        `yaml:"zone" json:"zone"`
	Proxy      bool          `yaml:"enable_proxy" json:"enable_proxy"`
	NoKeep     bool          `yaml:"disable_keep_alives" json:"disable_keep_alives"`
	DrainWait  time.Duration `yaml:"drain_wait" json:"drain_wait"`
	Idle       time.Duration `yaml:"frontend_idle_timeout" json:"frontend_idle_timeout"`
	Segments   []string      `yaml:"isolation_segments" json:"isolation_segments"`
	Cookies    []string      `yaml:"sticky_session_cookie_names" json:"sticky_session_cookie_names"`
	Status     status        `yaml:"status" json:"status"`
	Prometheus struct {
		Meters struct {
			Buckets []float64 `yaml:"gorouter_time_histogram_buckets" json:"gorouter_time_histogram_buckets"`
		} `yaml:"meters" json:"meters"`
	} `yaml:"prometheus" json:"prometheus"`
	Nats struct {
		Hosts []host `yaml:"hosts" json:"hosts"`
	} `yaml:"nats" json:"nats"`
	Backends struct {
		MaxConns int64 `yaml:"max_conns" json:"max_conns"`
	} `yaml:"backends" json:"backends"`
	Rewrite struct {
		Responses struct {
			Remove []struct {
				Name string `yaml:"name" json:"name"`
			} `yaml:"remove_headers" json:"remove_headers"`
		} `yaml:"responses" json:"responses"`
	} `yaml:"http_rewrite" json:"http_rewrite"`
}

func defaults() fields {
	var f fields
	f.Port = 8081
	f.NoKeep = true
	f.Idle = 900 * time.Second
	f.Cookies = []string{"JSESSIONID"}
	f.Status = status{Host: "0.0.0.0", Port: 8080}
	f.Nats.Hosts = []host{{"localhost", 4222}}
	return f
}

type outcome struct {
	Name  string         `json:"name"`
	Error string         `json:"error,omitempty"`
	Read  map[string]any `json:"read"`
}

// changed is what a document set to something else than its default.
func changed(before, after map[string]any) map[string]any {
	out := map[string]any{}
	for key, now := range after {
		was, isMap := before[key].(map[string]any)
		if inner, ok := now.(map[string]any); ok && isMap {
			if sub := changed(was, inner); len(sub) > 0 {
				out[key] = sub
			}
		} else if !reflect.DeepEqual(before[key], now) {
			out[key] = now
		}
	}
	return out
}

func plain(f fields) map[string]any {
	text, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	out := map[string]any{}
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber()
	if err := numbers.Decode(&out); err != nil {
		panic(err)
	}
	return out
}

func read(name, text string) (out outcome) {
	defer func() {
		if r := recover(); r != nil {
			out = outcome{Name: name, Error: fmt.Sprint(r)}
		}
	}()
	f := defaults()
	if err := yaml.Unmarshal([]byte(text), &f); err != nil {
		return outcome{Name: name, Error: err.Error()}
	}
	return outcome{Name: name, Read: changed(plain(defaults()), plain(f))}
}

func main() {
	var outcomes []outcome
	var name string
	var text strings.Builder
	flush := func() {
		if name != "" {
			outcomes = append(outcomes, read(name, text.String()))
		}
		text.Reset()
	}
	all, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	for _, line := range strings.SplitAfter(string(all), "\n") {
		if strings.HasPrefix(line, "=== ") {
			flush()
			name = strings.TrimSpace(line[4:])
			continue
		}
		text.WriteString(line)
	}
	flush()
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, o := range outcomes {
		if err := out.Encode(o); err != nil {
			panic(err)
		}
	}
}
