package kernel

import "slices"

// An Option is a socket option at the level SOL_SOCKET.
type Option struct {
	Name         string // in a transcript
	Constant     string // in C
	Milliseconds bool   // its value is a time in milliseconds
}

// Options lists the socket options that a scenario can use. Package interop/raw defines
// their constants.
var Options = []Option{
	{Name: "acceptconn", Constant: "SO_ACCEPTCONN"},
	{Name: "error", Constant: "SO_ERROR"},
	{Name: "inq", Constant: "SO_INQ"},
	{Name: "keepalive", Constant: "SO_KEEPALIVE"},
	{Name: "oobinline", Constant: "SO_OOBINLINE"},
	{Name: "passcred", Constant: "SO_PASSCRED"},
	{Name: "passpidfd", Constant: "SO_PASSPIDFD"},
	{Name: "passrights", Constant: "SO_PASSRIGHTS"},
	{Name: "passsec", Constant: "SO_PASSSEC"},
	{Name: "peekoff", Constant: "SO_PEEK_OFF"},
	{Name: "rcvbuf", Constant: "SO_RCVBUF"},
	{Name: "rcvlowat", Constant: "SO_RCVLOWAT"},
	{Name: "rcvtimeo", Constant: "SO_RCVTIMEO", Milliseconds: true},
	{Name: "reuseaddr", Constant: "SO_REUSEADDR"},
	{Name: "rightsnotrunc", Constant: "SO_RIGHTS_NOTRUNC"},
	{Name: "sndbuf", Constant: "SO_SNDBUF"},
	{Name: "sndtimeo", Constant: "SO_SNDTIMEO", Milliseconds: true},
	{Name: "timestamp", Constant: "SO_TIMESTAMP"},
	{Name: "type", Constant: "SO_TYPE"},
}

// FindOption returns the option with a name.
func FindOption(name string) (o Option, ok bool) {
	i := slices.IndexFunc(Options, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return o, false
	}
	return Options[i], true
}

// OptionNames returns the names of Options.
func OptionNames() (names []string) {
	for _, o := range Options {
		names = append(names, o.Name)
	}
	return names
}
