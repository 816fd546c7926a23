// Reads an OTLP profiles request and writes what is in it, without its dictionary, as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"io"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
)

type decoded struct {
	// Violations of the text of the format.
	Faults []string `json:"faults"`
	// Entries of tables to which nothing refers.
	Orphans  []string         `json:"orphans"`
	Profiles []decodedProfile `json:"profiles"`
}

type decodedProfile struct {
	Resource      map[string]any  `json:"resource"`
	Scope         string          `json:"scope"`
	SampleType    string          `json:"sampleType"`
	PeriodType    string          `json:"periodType"`
	Period        int64           `json:"period"`
	TimeNanos     string          `json:"timeNanos"`
	DurationNanos string          `json:"durationNanos"`
	Samples       []decodedSample `json:"samples"`
}

type decodedSample struct {
	// Leaf first.
	Stack   []decodedFrame `json:"stack"`
	Labels  map[string]any `json:"labels"`
	TraceID string         `json:"traceId"`
	SpanID  string         `json:"spanId"`
	Values  []int64        `json:"values"`
}

type decodedFrame struct {
	Name      string `json:"name"`
	File      string `json:"file"`
	StartLine int64  `json:"startLine"`
	Line      int64  `json:"line"`
}

// decode writes one line; an error is about a request that cannot be read at all.
func decode(in io.Reader, out io.Writer) error {
	bytes, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	request := pprofileotlp.NewExportRequest()
	if err := request.UnmarshalProto(bytes); err != nil {
		return err
	}
	profiles := request.Profiles()
	faults, orphans := checkProfiles(profiles)
	result := decoded{Faults: faults, Orphans: orphans}
	// An index out of range would end the program.
	if len(result.Faults) == 0 {
		result.Profiles = resolveAll(profiles)
	}
	return json.NewEncoder(out).Encode(result)
}

func resolveAll(profiles pprofile.Profiles) []decodedProfile {
	var result []decodedProfile
	dictionary := profiles.Dictionary()
	for _, resource := range profiles.ResourceProfiles().All() {
		for _, scope := range resource.ScopeProfiles().All() {
			for _, profile := range scope.Profiles().All() {
				one := resolveProfile(dictionary, profile)
				one.Resource = resource.Resource().Attributes().AsRaw()
				one.Scope = scope.Scope().Name()
				result = append(result, one)
			}
		}
	}
	return result
}

func resolveProfile(dictionary pprofile.ProfilesDictionary, profile pprofile.Profile) decodedProfile {
	valueType := func(of pprofile.ValueType) string {
		text := dictionary.StringTable()
		return text.At(int(of.TypeStrindex())) + "/" + text.At(int(of.UnitStrindex()))
	}
	result := decodedProfile{
		SampleType:    valueType(profile.SampleType()),
		PeriodType:    valueType(profile.PeriodType()),
		Period:        profile.Period(),
		TimeNanos:     fmt.Sprint(uint64(profile.Time())),
		DurationNanos: fmt.Sprint(profile.DurationNano()),
	}
	for _, sample := range profile.Samples().All() {
		link := dictionary.LinkTable().At(int(sample.LinkIndex()))
		stack := dictionary.StackTable().At(int(sample.StackIndex()))
		result.Samples = append(result.Samples, decodedSample{
			Stack:   resolveStack(dictionary, stack),
			Labels:  resolveAttributes(dictionary, sample.AttributeIndices()),
			TraceID: link.TraceID().String(),
			SpanID:  link.SpanID().String(),
			Values:  sample.Values().AsRaw(),
		})
	}
	return result
}

func resolveStack(dictionary pprofile.ProfilesDictionary, stack pprofile.Stack) []decodedFrame {
	text := dictionary.StringTable()
	var frames []decodedFrame
	for _, index := range stack.LocationIndices().AsRaw() {
		for _, line := range dictionary.LocationTable().At(int(index)).Lines().All() {
			function := dictionary.FunctionTable().At(int(line.FunctionIndex()))
			frames = append(frames, decodedFrame{
				Name:      text.At(int(function.NameStrindex())),
				File:      text.At(int(function.FilenameStrindex())),
				StartLine: function.StartLine(),
				Line:      line.Line(),
			})
		}
	}
	return frames
}

func resolveAttributes(dictionary pprofile.ProfilesDictionary, indices pcommon.Int32Slice) map[string]any {
	labels := map[string]any{}
	for _, index := range indices.AsRaw() {
		attribute := dictionary.AttributeTable().At(int(index))
		labels[dictionary.StringTable().At(int(attribute.KeyStrindex()))] = attribute.Value().AsRaw()
	}
	return labels
}
