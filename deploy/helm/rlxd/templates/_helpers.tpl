{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}
{{- define "rlxd.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "rlxd.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* What calls go to: not the warm-up Job's pods. */ -}}
{{- define "rlxd.serving" -}}
{{ include "rlxd.selector" . }}
app.kubernetes.io/component: serving
{{- end }}

{{- define "rlxd.labels" -}}
{{ include "rlxd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "rlxd.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "rlxd.name" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "rlxd.image" -}}{{ .Values.image.repository }}:{{ .Values.image.tag }}{{- end }}

{{- define "rlxd.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "rlxd.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "rlxd.resources" -}}
requests: {cpu: {{ .Values.resources.cpus }}, memory: {{ .Values.resources.memoryGiB }}Gi}
limits:
  memory: {{ .Values.resources.memoryGiB }}Gi
  {{- with .Values.resources.devices }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{- /* The image's rlxd.conf says where to listen and cache. */ -}}
{{- define "rlxd.flags" -}}
{{- $gib := 1073741824 -}}
- --threads={{ .Values.resources.cpus }}
- --host_memory_bytes={{ div (mul 3 $gib .Values.resources.memoryGiB) 4 }}
- --disk_cache_bytes={{ div (mul $gib .Values.cache.sizeGiB) 4 }}
- --blob_bytes={{ div (mul $gib .Values.cache.sizeGiB) 2 }}
- --drain_delay_seconds={{ .Values.drain.delay }}
- --drain_timeout_seconds={{ .Values.drain.timeout }}
{{- if .Values.modelRepository.volume }}
- --model_repository=/models
- --model_control_mode={{ .Values.modelRepository.controlMode }}
{{- end }}
{{- if .Values.sharedCache.url }}
- --shared_cache={{ .Values.sharedCache.url }}
- --shared_cache_key_file=/run/secrets/rlxd/key
{{- if .Values.sharedCache.password }}
- --shared_cache_password_file=/run/secrets/rlxd/password
{{- end }}
{{- if .Values.sharedCache.ca }}
- --shared_cache_ca_file=/run/secrets/rlxd/ca.crt
{{- end }}
{{- end }}
{{- range $name, $value := .Values.flags }}
- {{ printf "--%s=%v" $name $value | quote }}
{{- end }}
{{- end }}

{{- define "rlxd.mounts" -}}
- {name: cache, mountPath: /var/lib/rlxd}
{{- if .Values.modelRepository.volume }}
- {name: models, mountPath: /models, readOnly: true}
{{- end }}
{{- if .Values.sharedCache.url }}
- {name: secrets, mountPath: /run/secrets/rlxd, readOnly: true}
{{- end }}
{{- end }}

{{- define "rlxd.scratch" -}}
- {name: cache, emptyDir: {sizeLimit: {{ .Values.cache.sizeGiB }}Gi}}
{{- end }}

{{- /* Empty where it is a claim template's. */ -}}
{{- define "rlxd.cacheVolume" -}}
{{- if eq .Values.cache.kind "emptyDir" }}{{ include "rlxd.scratch" . }}{{ end }}
{{- end }}

{{- /* `cache` is that volume, or empty. */ -}}
{{- define "rlxd.volumes" -}}
{{ .cache }}
{{- with .Values.modelRepository.volume }}
- name: models
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.sharedCache }}
{{- if .url }}
- name: secrets
  secret:
    secretName: {{ .secretName }}
    items:
      - {key: key, path: key}
      {{- if .password }}
      - {key: password, path: password}
      {{- end }}
      {{- if .ca }}
      - {key: ca.crt, path: ca.crt}
      {{- end }}
{{- end }}
{{- end }}
{{- end }}
