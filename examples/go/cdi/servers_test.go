package cdi

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const images = "../../../tests/images/good"

// server is a server of a directory on the loopback interface.
type server struct {
	name string
	url  string
	// hasRanges is true if it sends ranges.
	hasRanges bool
}

func (s server) at(t testing.TB, path string) *url.URL {
	t.Helper()
	return location(t, s.url+"/"+path)
}

func location(t testing.TB, text string) *url.URL {
	t.Helper()
	location, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// servers starts all kinds of servers of a directory.
func servers(t *testing.T, directory string) []server {
	kinds := []server{
		{"net/http with ranges", serve(t, http.FileServer(http.Dir(directory))), true},
		{"net/http without ranges", serve(t, withoutRanges(directory, true)), false},
		{"net/http without a length", serve(t, withoutRanges(directory, false)), false},
	}
	if url := startNginx(t, directory); url != "" {
		kinds = append(kinds, server{"nginx", url, true})
	}
	if url := startPython(t, directory); url != "" {
		kinds = append(kinds, server{"python3 -m http.server", url, false})
	}
	return kinds
}

func serve(t testing.TB, handler http.Handler) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func withoutRanges(directory string, hasLength bool) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		data, err := os.ReadFile(filepath.Join(directory, request.URL.Path))
		if err != nil {
			http.NotFound(response, request)
			return
		}
		if hasLength {
			response.Header().Set("Content-Length", strconv.Itoa(len(data)))
		} else {
			response.(http.Flusher).Flush() // chunked
		}
		response.Write(data)
	})
}

// breaking sends ranges, and closes each connection after `each` bytes of a body.
type breaking struct {
	data []byte
	each int
	// hasRanges is false for a server that sends the whole body only.
	hasRanges bool
	// replaced is the content after the first request; nil if it stays.
	replaced []byte
	requests atomic.Int32
}

func (c *breaking) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	data := c.data
	if c.requests.Add(1) > 1 && c.replaced != nil {
		data = c.replaced
	}
	if c.hasRanges {
		response.Header().Set("ETag", fmt.Sprintf("%q", strconv.Itoa(int(data[0]))))
		http.ServeContent(&cutWriter{response, c.each}, request, "", time.Time{}, strings.NewReader(string(data)))
		return
	}
	response.Header().Set("Content-Length", strconv.Itoa(len(data)))
	(&cutWriter{response, c.each}).Write(data)
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(data []byte) (int, error) {
	if len(data) > c.left {
		c.ResponseWriter.Write(data[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler) // closes the connection
	}
	c.left -= len(data)
	return c.ResponseWriter.Write(data)
}

// lacks reports that a tool is missing. In CI that is a failure.
func lacks(t testing.TB, tool string) bool {
	t.Helper()
	if _, err := exec.LookPath(tool); err == nil {
		return false
	}
	missing(t, tool+" is not installed")
	return true
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	fmt.Println("skipped:", what)
}

// freePort returns a port on the loopback interface that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

const nginxConfiguration = `
daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error;
events {}
http {
    access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
    uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
    server { listen 127.0.0.1:%[2]d; location / { root %[3]s; } }
}
`

func startNginx(t *testing.T, directory string) string {
	if lacks(t, "nginx") {
		return ""
	}
	root, err := filepath.Abs(directory)
	if err != nil {
		t.Fatal(err)
	}
	scratch, port := t.TempDir(), freePort(t)
	configuration := filepath.Join(scratch, "nginx.conf")
	text := fmt.Sprintf(nginxConfiguration, scratch, port, root)
	if err := os.WriteFile(configuration, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, port, exec.Command("nginx", "-p", scratch, "-c", configuration))
}

func startPython(t *testing.T, directory string) string {
	if lacks(t, "python3") {
		return ""
	}
	port := freePort(t)
	return start(t, port, exec.Command("python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", directory,
		strconv.Itoa(port)))
}

// start starts a server and waits for its port.
func start(t *testing.T, port int, command *exec.Cmd) string {
	command.Stdout, command.Stderr = io.Discard, io.Discard
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		command.Process.Kill()
		<-ended
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for try := 0; try < 500; try++ {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
			return "http://" + address
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal(command.Path, "does not listen")
	return ""
}
