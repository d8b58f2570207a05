{{/* Combinations that values.schema.json cannot say in a sentence a person understands. */}}
{{- define "xnas.validate" -}}
{{- $store := .Values.store -}}
{{- if .Values.minio.enabled -}}
{{- if $store.endpoint }}{{ fail "store.endpoint and minio.enabled=true exclude each other: unset one of them" }}{{ end -}}
{{- else -}}
{{- if not $store.endpoint }}{{ fail "set store.endpoint to an S3 server such as http://HOST:PORT, or minio.enabled=true to try things out" }}{{ end -}}
{{- if not (or $store.existingSecret (and $store.accessKey $store.secretKey)) }}{{ fail "set store.existingSecret to a Secret with the keys accessKey and secretKey, or both store.accessKey and store.secretKey" }}{{ end -}}
{{- end -}}
{{- if and $store.existingSecret (or $store.accessKey $store.secretKey) }}{{ fail "store.existingSecret and store.accessKey or store.secretKey exclude each other: unset one of them" }}{{ end -}}
{{- if ne (empty $store.accessKey) (empty $store.secretKey) }}{{ fail "store.accessKey and store.secretKey belong together: set both" }}{{ end -}}
{{- if and (eq .Values.tls.source "certManager") (not .Values.tls.certManager.issuerRef.name) }}{{ fail "set tls.certManager.issuerRef.name to an Issuer that fills ca.crt, such as a CA issuer" }}{{ end -}}
{{- if ge (int .Values.tls.rotateBeforeDays) (int .Values.tls.validDays) }}{{ fail "tls.rotateBeforeDays must be less than tls.validDays" }}{{ end -}}
{{- if gt (mul 2 (int .Values.leaderElection.renewSeconds)) (int .Values.leaderElection.leaseDurationSeconds) }}{{ fail "leaderElection.renewSeconds must be at most half of leaderElection.leaseDurationSeconds" }}{{ end -}}
{{- if eq (int .Values.grpc.port) (int .Values.http.port) }}{{ fail "grpc.port and http.port must differ" }}{{ end -}}
{{- range $namespace, $prefixes := .Values.dataPrefixes -}}
{{- range $prefixes -}}
{{- if hasPrefix (printf "s3://%s/" $store.bucket) . }}{{ fail (printf "dataPrefixes.%s names %s, but data is never read from store.bucket; use another bucket" $namespace .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end }}
