package scenario

// An Outcome is what came of a run.
type Outcome struct {
	Results   []Result
	Witnesses map[string]int // how often each of the kernel's ways of telling was used
	Cut       error          // why the run ended early
	Broken    error          // why it did not begin
	Left      error          // why something of its folder of temporary files is left, and where
}
