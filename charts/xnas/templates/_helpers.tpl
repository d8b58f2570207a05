{{- define "xnas.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Also the name of the gRPC Service. Short, so that suffixes fit into 63 characters. */}}
{{- define "xnas.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "xnas.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "xnas.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "xnas.operatorName" -}}
{{ include "xnas.fullname" . }}-operator
{{- end }}

{{/* Name of things without a namespace: two releases in two namespaces must not meet. */}}
{{- define "xnas.clusterName" -}}
{{- $name := include "xnas.fullname" . -}}
{{- if eq $name .Release.Namespace }}{{ $name }}{{ else }}{{ printf "%s-%s" $name .Release.Namespace }}{{ end -}}
{{- end }}

{{/* Called with (list . "component"). */}}
{{- define "xnas.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "xnas.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "xnas.labels" -}}
{{- $root := index . 0 -}}
{{ include "xnas.selectorLabels" . }}
app.kubernetes.io/part-of: xnas
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "xnas.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "xnas.operatorName" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "xnas.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "xnas.evaluatorImage" -}}
{{ .Values.evaluator.image.repository }}:{{ .Values.evaluator.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "xnas.tlsSecretName" -}}
{{ .Values.tls.secretName | default (printf "%s-tls" (include "xnas.fullname" .)) }}
{{- end }}

{{- define "xnas.leaseName" -}}
{{ include "xnas.operatorName" . }}
{{- end }}

{{- define "xnas.evaluatorAddress" -}}
{{ .Values.grpc.evaluatorAddress | default (printf "%s.%s.svc:%d" (include "xnas.fullname" .) .Release.Namespace (int .Values.grpc.port)) }}
{{- end }}

{{- define "xnas.minioName" -}}
{{ include "xnas.fullname" . }}-minio
{{- end }}

{{- define "xnas.storeEndpoint" -}}
{{- if .Values.minio.enabled -}}
http://{{ include "xnas.minioName" . }}.{{ .Release.Namespace }}.svc:9000
{{- else -}}
{{ .Values.store.endpoint }}
{{- end -}}
{{- end }}

{{- define "xnas.storePort" -}}
{{- $url := urlParse (include "xnas.storeEndpoint" .) -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end }}

{{- define "xnas.storeSecretName" -}}
{{ .Values.store.existingSecret | default (printf "%s-store" (include "xnas.fullname" .)) }}
{{- end }}

{{- define "xnas.accessKeyKey" -}}
{{ ternary .Values.store.existingSecretKeys.accessKey "accessKey" (ne .Values.store.existingSecret "") }}
{{- end }}

{{- define "xnas.secretKeyKey" -}}
{{ ternary .Values.store.existingSecretKeys.secretKey "secretKey" (ne .Values.store.existingSecret "") }}
{{- end }}

{{- define "xnas.priorityClassName" -}}
{{- if .Values.priorityClassName -}}
{{ .Values.priorityClassName }}
{{- else if .Values.priorityClass.create -}}
{{ include "xnas.clusterName" . }}
{{- end -}}
{{- end }}

{{/* Both contexts together fulfil the restricted Pod Security Standard. */}}
{{- define "xnas.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "xnas.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The store's address and keys, for the operator and for the container that makes the bucket. */}}
{{- define "xnas.storeKeysEnv" -}}
- name: XNAS_S3_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "xnas.storeSecretName" . }}
      key: {{ include "xnas.accessKeyKey" . }}
- name: XNAS_S3_SECRET_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "xnas.storeSecretName" . }}
      key: {{ include "xnas.secretKeyKey" . }}
{{- end }}
