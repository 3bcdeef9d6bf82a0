//go:build unix && !aix

package spectest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/testrecord"
)

// recordedVariable is set in a process that runs the specs that TestRecords expects to be recorded.
const recordedVariable = "SCM_TEST_RECORDED"

func TestMain(m *testing.M) {
	if os.Getenv(recordedVariable) != "" {
		// As in any other package, this runs after the nodes of package spectest.
		ginkgo.ReportAfterEach(func(s ginkgo.SpecReport) {
			if s.LeafNodeText == "fails later" && s.State == types.SpecStatePassed {
				ginkgo.Fail("late")
			}
		})
	}
	Main(m)
}

var _ = os.Getenv(recordedVariable) == "" || ginkgo.Describe("it", func() {
	ginkgo.It("passes", ginkgo.Label("label"), func() {
		ginkgo.AddReportEntry(CaseEntry, map[string]string{"name": "x"})
	})
	for range 2 {
		ginkgo.It("fails", func() { ginkgo.Fail("a\nb") })
	}
	ginkgo.It("panics", func() { panic("oh") })
	ginkgo.It("is pending", ginkgo.Pending, func() {})
	ginkgo.It("needs tea", func() { fdtest.Missing(ginkgo.GinkgoTB(), "tea", "the kettle is cold") })
	ginkgo.It("fails later", func() {})
	ginkgo.Describe("ordered", ginkgo.Ordered, func() {
		ginkgo.BeforeAll(func() { ginkgo.Skip("no milk") })
		ginkgo.It("first", func() {})
		ginkgo.It("second", func() {})
	})
})

var _ = os.Getenv(recordedVariable) == "" || ginkgo.BeforeSuite(func() { ginkgo.DeferCleanup(func() { ginkgo.Fail("at the end") }) })

func TestRecorded(t *testing.T) {
	if os.Getenv(recordedVariable) == "" {
		t.Skip("TestRecords runs it in another process")
	}
	gomega.RegisterFailHandler(ginkgo.Fail)
	Run(t, "recorded")
}

// run runs the specs, and returns what the process printed and the records.
func run(t *testing.T, folder string, args ...string) (out string, lines []string) {
	t.Helper()
	self, err := os.Executable()
	fdtest.Must(t, err)
	cmd := exec.Command(self, append([]string{"-test.run=^TestRecorded$", "-ginkgo.no-color", "-ginkgo.seed=1"}, args...)...)
	cmd.Env = append(os.Environ(), testrecord.Variable+"="+folder, recordedVariable+"=1", "CI=")
	text, _ := cmd.CombinedOutput()
	records, err := testrecord.ReadFolder(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, r := range records {
		lines = append(lines, describe(t, r))
	}
	return string(text), lines
}

// place is the place of a failure, or the stack of a panic. With -trimpath, it has no absolute path.
var place = regexp.MustCompile(`\n\S*_test\.go:\d+$|(?s:\n[^\n]*\n\t\S*_test\.go:\d+ .*$)`)

// describe returns a record without its package, its seconds and the place of a failure.
func describe(t *testing.T, r testrecord.Record) string {
	t.Helper()
	if r.Why != "" && (r.State == types.SpecStateFailed.String() || r.State == types.SpecStatePanicked.String()) && !place.MatchString(r.Why) {
		t.Errorf("%q names no place", r.Why)
	}
	r.Package, r.Seconds, r.Why = "", 0, place.ReplaceAllString(r.Why, "")
	text, err := json.Marshal(r)
	fdtest.Must(t, err)
	return strings.TrimPrefix(string(text), `{"package":"",`)
}

func TestRecords(t *testing.T) {
	end, begin := `"kind":"end"}`, func(n int) string { return fmt.Sprintf(`"kind":"begin","planned":%d}`, n) }
	for name, c := range map[string]struct {
		args, want []string
	}{
		"all": {nil, []string{
			begin(8),
			`"kind":"spec","name":"it passes","state":"passed","labels":["label"],"case":{"name":"x"}}`,
			`"kind":"spec","name":"it fails","state":"failed","why":"a\nb"}`,
			`"kind":"spec","name":"it fails #2","state":"failed","why":"a\nb"}`,
			`"kind":"spec","name":"it panics","state":"panicked","why":"Test Panicked: oh"}`,
			`"kind":"spec","name":"it is pending","state":"pending"}`,
			`"kind":"lacks","name":"it needs tea","missing":"tea"}`,
			`"kind":"spec","name":"it needs tea","state":"skipped","why":"missing: the kettle is cold"}`,
			`"kind":"spec","name":"it fails later","state":"passed"}`,
			`"kind":"spec","name":"it ordered first","state":"skipped","why":"no milk"}`,
			`"kind":"spec","name":"it ordered second","state":"skipped","why":"no milk"}`,
			`"kind":"spec","name":"it fails later","state":"failed","why":"late"}`,
			`"kind":"node","name":"[DeferCleanup (Suite)]","state":"failed","why":"at the end"}`,
			end,
		}},
		"those that a filter leaves": {[]string{"-ginkgo.focus=passes|second"}, []string{
			begin(2),
			`"kind":"spec","name":"it passes","state":"passed","labels":["label"],"case":{"name":"x"}}`,
			`"kind":"spec","name":"it is pending","state":"pending"}`, // Ginkgo reports it always
			`"kind":"spec","name":"it ordered second","state":"skipped","why":"no milk"}`,
			`"kind":"node","name":"[DeferCleanup (Suite)]","state":"failed","why":"at the end"}`,
			end,
		}},
		"a dry run": {[]string{"-ginkgo.dry-run"}, []string{
			`"kind":"begin","planned":8,"dry_run":true}`,
			`"kind":"spec","name":"it fails later","state":"failed","why":"late"}`, // Ginkgo runs ReportAfterEach
			end,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			out, got := run(t, t.TempDir(), c.args...)
			if got, want := strings.Join(got, "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s\nIt printed\n%s", got, want, out)
			}
		})
	}
}

// A suite whose results cannot be recorded fails, and reports that once.
func TestUnrecorded(t *testing.T) {
	out, _ := run(t, filepath.Join(t.TempDir(), "none"), "-ginkgo.focus=passes")
	if strings.Count(out, "[FAILED] the results of the tests cannot be recorded: open ") != 1 || !strings.Contains(out, "\nFAIL") {
		t.Error(out)
	}
}

// The reason of a failure contains the beginning of the stack of a spec that hangs, which fits on a page.
func TestWhy(t *testing.T) {
	calls := slices.Repeat([]types.FunctionCall{{Function: "f", Filename: "f.go", Line: 1}}, 99)
	s := ginkgo.SpecReport{State: types.SpecStateTimedout, AdditionalFailures: []types.AdditionalFailure{{}}, Failure: types.Failure{
		Message: "late", Location: types.CodeLocation{FileName: "g.go", LineNumber: 2},
		ProgressReport: types.ProgressReport{Goroutines: []types.Goroutine{{Stack: calls}, {IsSpecGoroutine: true, Stack: calls}}},
	}}
	want := "late\ng.go:2" + strings.Repeat("\nf\n\tf.go:1", stackLines/2) + "\n1 more failure followed, which -ginkgo.v prints."
	if got := Why(s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// An interrupt that arrives while Ginkgo reports a spec is not the spec's result.
func TestWasReported(t *testing.T) {
	for node, want := range map[types.NodeType]bool{types.NodeTypeReportAfterEach: true, types.NodeTypeIt: false} {
		s := ginkgo.SpecReport{State: types.SpecStateInterrupted, Failure: types.Failure{FailureNodeType: node}}
		if got := WasReported(s); got != want {
			t.Errorf("interrupted in %v: got %v", node, got)
		}
	}
}
